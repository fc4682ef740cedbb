#!/bin/bash
# The stand-in needs Python 3.10 and nothing else; the official script installs libraries here.

if [[ $(id -u) -ne 0 ]]; then
    echo "Need to run with sudo privilege"
    exit 1
fi
if ! command -v python3 >/dev/null; then
    echo "python3 is missing"
    exit 1
fi
echo "-----------------------------"
echo " Finish Install Dependencies"
echo "-----------------------------"
