"""A scripted GitHub for credential checks: one answer for each question."""

from __future__ import annotations

from collections.abc import Mapping

from runners.github.urls import ScopePath
from tests.github import bodies
from tests.github.examples import example_of
from tests.github.scripted import Received, Reply, ScriptedServer

REPO = ScopePath.repository("acme/web")
ORG = ScopePath.organization("acme")
ENTERPRISE = ScopePath.enterprise("acme-inc")
TOKEN_PATH = "/actions/runners/registration-token"


class World:
    """A GitHub that gives one answer a question."""

    def __init__(self, server: ScriptedServer) -> None:
        self.answers: dict[str, Reply] = {}
        server.responder = self._respond

    def _respond(self, received: Received) -> Reply:
        path = received.path.split("?")[0]
        for end, reply in self.answers.items():
            if path.endswith(end):
                return reply
        if path.endswith(TOKEN_PATH):
            return Reply(201, bodies.token())
        return Reply(404, bodies.error("Not Found"))

    def user(self, scopes: str | None = "repo", expires: str = "") -> World:
        sent = {} if scopes is None else {"X-OAuth-Scopes": scopes}
        if expires:
            sent["GitHub-Authentication-Token-Expiration"] = expires
        self.answers["/user"] = Reply(200, example_of("GET", "/user").body, sent)
        return self

    def on(self, end: str, reply: Reply) -> World:
        self.answers[end] = reply
        return self


def refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An error of GitHub."""
    return Reply(status, bodies.error(message), headers or {})
