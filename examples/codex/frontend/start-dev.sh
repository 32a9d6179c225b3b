#!/bin/bash
export NODE_OPTIONS="--max-old-space-size=2048"
# Not by exec: what a shell starts belongs to the app, too.
node server.mjs
