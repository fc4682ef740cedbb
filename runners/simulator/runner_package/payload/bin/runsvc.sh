#!/bin/bash
# What the service runs: turns SIGTERM into SIGINT for the program that keeps the listener going.

trap 'kill -INT $service' TERM INT

if [[ -f .path ]]; then
    PATH="$(cat .path)"
    export PATH
    echo ".path=${PATH}"
fi

./bin/RunnerService &
service=$!
wait $service
trap - TERM INT
wait $service
