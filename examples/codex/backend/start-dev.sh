#!/bin/bash
# Without watch mode: a save is no restart.
export NODE_OPTIONS="--max-old-space-size=1024"
exec node server.mjs
