"""A client of the simulator whose every call is checked against GitHub's OpenAPI description."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import requests
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_core.templating.paths.exceptions import OperationNotFound, PathNotFound
from openapi_core.templating.responses.exceptions import ResponseNotFound

from runners.simulator import Simulator

PAYLOADS = Path(__file__).parent.parent / "payloads" / "github"
# GitHub answers these anywhere, described or not.
ALWAYS = {301, 304, 400, 401, 403, 404, 409, 422, 429, 500, 502, 503}
# Answered as GitHub does, though the description does not have it.
UNDESCRIBED = ("/repositories/",)


@lru_cache
def description() -> dict[str, Any]:
    """GitHub's description of its API, two of its slips mended.

    A nullable choice must list null to allow it; an installation's account in the list is a user or
    an enterprise (as it is said elsewhere), not both at once.
    """
    text = (PAYLOADS / "openapi-actions.json").read_text(encoding="utf-8")
    spec = json.loads(text, object_hook=_allow_null)
    listed = spec["paths"]["/app/installations"]["get"]["responses"]["200"]["content"]
    account = listed["application/json"]["schema"]["items"]["properties"]["account"]
    account["anyOf"] = account.pop("allOf")
    return spec


def _allow_null(schema: dict[str, Any]) -> dict[str, Any]:
    if schema.get("nullable") is True and None not in schema.get("enum", [None]):
        schema["enum"] = [*schema["enum"], None]
    return schema


class Client:
    """Calls paths below the API base with one token; ``check`` off for what is wrong on purpose."""

    def __init__(self, sim: Simulator, token: str = "", *, base: str = "") -> None:
        self.sim = sim
        self.base = base or sim.api_url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["User-Agent"] = "fleet-tests"
        if token:
            self.session.headers["Authorization"] = f"Bearer {token}"
        spec = description() | {"servers": [{"url": self.base}]}
        self._api = OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.call("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.call("POST", path, json=body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.call("PUT", path, json=body, **options)

    def patch(self, path: str, body: Any = None, **options: Any) -> requests.Response:
        return self.call("PATCH", path, json=body, **options)

    def delete(self, path: str, **options: Any) -> requests.Response:
        return self.call("DELETE", path, **options)

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        options.setdefault("allow_redirects", False)
        response = self.session.request(method, self.base + path, timeout=10, **options)
        self._check(response, path)
        return response

    def _check(self, response: requests.Response, path: str) -> None:
        if path.startswith(UNDESCRIBED):
            return
        request = RequestsOpenAPIRequest(response.request)
        try:
            if response.status_code < 400:
                self._api.validate_request(request)
            self._api.validate_response(request, RequestsOpenAPIResponse(response))
        except (PathNotFound, OperationNotFound):
            assert response.status_code == 404
        except ResponseNotFound:
            assert response.status_code in ALWAYS, response.status_code
