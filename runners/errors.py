"""Errors the domain raises on purpose; each carries words fit for a person. Bugs raise anything
else."""

from __future__ import annotations


class FleetError(Exception):
    """Something a person asked for cannot be done; `user_message` says what happened and what to
    do."""

    def __init__(self, user_message: str) -> None:
        super().__init__(user_message)
        self.user_message = user_message


class IllegalTransition(FleetError):
    """The state machine has no such move."""


class StaleState(FleetError):
    """Another writer moved the row between our read and our write; nothing was changed."""


class NoCapacity(FleetError):
    """No host can take the runner that was asked for."""


class InvalidRequest(FleetError):
    """What was asked for contradicts itself or a rule; the message names the rule."""


class Quiesced(FleetError):
    """The whole fleet admits no new runner for now; jobs and runners that are up go on."""


class NameTaken(FleetError):
    """Somebody else has the name that was asked for."""


class NotPermitted(FleetError):
    """The token or code shown does not open this door."""


class Gone(FleetError):
    """The code was used or ran out, or the host was retired."""
