#!/bin/bash
exec node server.mjs
