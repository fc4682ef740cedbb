#!/bin/bash
# Starts the helper again and again until it says that there is no reason to go on.

here="$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")" && pwd)"

# What to do after one round, by the helper's exit code: return to go round again.
after_round() {
    local code="$1" final="$2"
    if [[ $code -eq 2 ]]; then
        echo "Restarting runner..."
        return
    fi
    echo "Exiting runner..."
    if [[ $code -eq 7 && "$ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE" == "1" ]]; then
        exit 7
    fi
    trap - INT TERM
    exit "$final"
}

fresh_helper() {
    cp -f "$here/run-helper.sh.template" "$here/run-helper.sh"
}

if [[ -z "$RUNNER_MANUALLY_TRAP_SIG" ]]; then
    while true; do
        fresh_helper
        "$here/run-helper.sh" "$@"
        after_round $? 0
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
    # A trapped signal ends the wait early: wait again for the helper's own exit code.
    while kill -0 "$helper" 2>/dev/null; do
        wait "$helper"
        code=$?
    done
    after_round "$code" "$code"
done
