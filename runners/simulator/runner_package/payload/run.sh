#!/bin/bash
# Starts the helper again and again until it says that there is no reason to go on.

here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"

fresh_helper() {
    cp -f "$here/run-helper.sh.template" "$here/run-helper.sh"
}

# Ends with 7 for a deprecated version, where that was asked for; returns when it is no such end.
end_if_deprecated() {
    if [[ $1 -eq 7 && "$ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE" == "1" ]]; then
        echo "Exiting runner..."
        exit 7
    fi
}

if [[ -z "$RUNNER_MANUALLY_TRAP_SIG" ]]; then
    while true; do
        fresh_helper
        "$here/run-helper.sh" "$@"
        code=$?
        end_if_deprecated $code
        if [[ $code -ne 2 ]]; then
            echo "Exiting runner..."
            exit 0
        fi
        echo "Restarting runner..."
    done
fi

# Job control gives the helper a process group of its own, which the trap then interrupts.
set -m
trap 'kill -INT -$helper' INT TERM
while true; do
    fresh_helper
    "$here/run-helper.sh" "$@" &
    helper=$!
    wait "$helper"
    code=$?
    end_if_deprecated $code
    if [[ $code -ne 2 ]]; then
        echo "Exiting runner..."
        trap - INT TERM
        # A trapped signal ended the wait early and set the code (130, 143): the helper still runs.
        wait "$helper"
        exit $code
    fi
    echo "Restarting runner..."
done
