"""Running a management command as its users do: arguments in, text and an exit code out."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from tests.factories import NOW
from tests.fakes import FakeGitHub


@dataclass
class Outcome:
    """What a command wrote to standard output, why it refused, and its exit code."""

    out: str
    error: str
    code: int

    @property
    def data(self) -> Any:
        """The output, read as JSON."""
        return json.loads(self.out)


class Terminal(io.StringIO):
    """A standard input at which a person sits."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def manage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run a command; `stdin` is what is piped into it, `typed` what a person types unseen."""

    def run(*arguments: str, stdin: str = "", typed: str | None = None) -> Outcome:
        out = io.StringIO()
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin) if typed is None else Terminal())
        monkeypatch.setattr("getpass.getpass", lambda prompt: typed)
        try:
            call_command(*arguments, stdout=out)
        except CommandError as error:
            return Outcome(out.getvalue(), str(error), error.returncode)
        return Outcome(out.getvalue(), "", 0)

    return run


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command runs at NOW."""
    monkeypatch.setattr("runners.wiring.now", lambda: NOW)


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> FakeGitHub:
    """The GitHub that every scope's client speaks to."""
    fake = FakeGitHub()
    monkeypatch.setattr("runners.wiring.github_client", lambda scope: fake)
    return fake
