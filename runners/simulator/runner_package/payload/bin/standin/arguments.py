"""Command line and `ACTIONS_RUNNER_INPUT_*` of the listener, as the official one reads them.

A word without dashes is a command, `--name word` an argument, a lone `--name` a flag. Unknown
names are complained about and otherwise ignored. Values are never printed: some are secrets.
"""

import os
from collections.abc import Sequence

ENVIRONMENT_PREFIX = "ACTIONS_RUNNER_INPUT_"
GENERIC = frozenset({"help", "version", "commit", "check"})
OPTIONS = {
    "configure": frozenset(
        {"url", "token", "name", "labels", "no-default-labels", "runnergroup", "work", "replace"}
        | {"ephemeral", "disableupdate", "unattended", "pat", "generateserviceconfig"}
        | {"monitorsocketaddress", "auth", "username"}
        | {"runasservice", "windowslogonaccount", "windowslogonpassword"}
    ),
    "remove": frozenset({"token", "pat", "local"}),
    "run": frozenset({"jitconfig", "once", "startuptype"}),
    "warmup": frozenset[str](),
}
# The connectivity check takes its server from these, whatever the command.
CHECK_OPTIONS = frozenset({"url", "pat"})


class Arguments:
    """One parsed command line, with the environment's inputs beneath it."""

    def __init__(self, words: Sequence[str], inputs: dict[str, str]) -> None:
        """Parse `words`; `inputs` are lower-case names from the environment."""
        self.command = ""
        self._values: dict[str, str] = dict(inputs)
        self._given: list[str] = []
        self._stray: list[str] = []
        name = ""
        for word in words:
            if word.startswith("--"):
                name = word[2:].lower()
                self._given.append(name)
                self._values[name] = "true"
            elif name:
                self._values[name] = word
                name = ""
            elif word.lower() in OPTIONS and not self.command:
                self.command = word.lower()
            else:
                self._stray.append(word)

    def flag(self, name: str) -> bool:
        """Whether a flag is set; the environment sets one with `1` or `true`."""
        return self._values.get(name, "").lower() in ("1", "true", "$true")

    def value(self, name: str) -> str:
        """An argument's value, empty when it was not given."""
        return self._values.get(name, "")

    def unknown(self) -> list[str]:
        """Names and words that the command does not know."""
        known = GENERIC | OPTIONS.get(self.command, frozenset())
        if self.flag("check"):
            known |= CHECK_OPTIONS
        return self._stray + [name for name in self._given if name not in known]


def take_environment_inputs() -> dict[str, str]:
    """Read `ACTIONS_RUNNER_INPUT_*` and remove them, so that no child process inherits one."""
    inputs = {}
    for key in list(os.environ):
        if not key.upper().startswith(ENVIRONMENT_PREFIX):
            continue
        value = os.environ.pop(key).strip()
        if value:
            inputs[key[len(ENVIRONMENT_PREFIX) :].lower()] = value
    return inputs
