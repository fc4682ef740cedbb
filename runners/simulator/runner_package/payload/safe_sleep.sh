#!/bin/bash
# Sleeps for $1 seconds.

exec sleep "$1"
