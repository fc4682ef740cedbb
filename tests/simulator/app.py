"""A GitHub App that signs tokens for itself, and gets others."""

import jwt

from runners.simulator import Simulator
from runners.simulator.wire import JsonObject
from tests.simulator.client import Client


class App:
    """An App installed on ``acme``, with its key."""

    def __init__(self, sim: Simulator, wishes: JsonObject | None = None) -> None:
        self.sim = sim
        made = sim.add_app({"account": "acme", **(wishes or {})})
        self.client_id = str(made["client_id"])
        self.id = int(str(made["app_id"]))
        self.key = str(made["private_key"])
        self.installation_id = int(str(made["installation_id"]))

    def token(self, **changes: object) -> str:
        now = int(self.sim.clock.time())
        claims = {"iat": now - 60, "exp": now + 540, "iss": self.client_id} | changes
        return jwt.encode(claims, self.key, algorithm="RS256")

    def client(self, **changes: object) -> Client:
        return Client(self.sim, self.token(**changes))

    def access(self, body: JsonObject | None = None) -> Client:
        path = f"/app/installations/{self.installation_id}/access_tokens"
        return Client(self.sim, self.client().post(path, body or {}).json()["token"])
