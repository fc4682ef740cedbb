"""Holding every exchange of a test against GitHub's own description of its API."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from openapi_core import Config, OpenAPI
from openapi_core.contrib.requests import RequestsOpenAPIRequest, RequestsOpenAPIResponse
from openapi_core.templating.responses.exceptions import ResponseNotFound
from urllib3 import HTTPResponse

from runners.github.http import PlainSession

DESCRIPTION = Path(__file__).parents[1] / "payloads" / "github" / "openapi-actions.json"
# Where a renamed repository lives on: GitHub redirects there and describes it nowhere.
UNDESCRIBED = "/repositories/"
# GitHub describes an installation's account as a person and an enterprise at once.
FAULTY = ("/app/installations",)
# GitHub answers these anywhere, described or not.
ANYWHERE = frozenset({301, 302, 304, 307, 308, 401, 403, 404, 410, 429, 500, 502, 503, 504})


@lru_cache(maxsize=1)
def description() -> dict[str, Any]:
    """GitHub's OpenAPI description."""
    loaded: dict[str, Any] = json.loads(
        DESCRIPTION.read_text(encoding="utf-8"), object_hook=_allow_null
    )
    return loaded


def _allow_null(node: dict[str, Any]) -> dict[str, Any]:
    """Let a nullable enum be null: GitHub means it, OpenAPI 3.0 read strictly does not."""
    choices = node.get("enum")
    if node.get("nullable") is True and isinstance(choices, list) and None not in choices:
        choices.append(None)
    return node


@lru_cache(maxsize=64)
def _api(base_url: str) -> OpenAPI:
    spec: Any = {**description(), "servers": [{"url": base_url}]}
    return OpenAPI.from_dict(spec, config=Config(spec_validator_cls=None))


def contract_hook(base_url: str) -> Callable[..., requests.Response]:
    """A response hook for a session: raises when request or answer break the description."""
    api = _api(base_url)

    def check(response: requests.Response, *args: object, **kwargs: object) -> requests.Response:
        _hold(api, base_url, response)
        # The client reads what arrives, and by now it was read.
        response.raw = HTTPResponse(BytesIO(response.content), preload_content=False)
        return response

    return check


def _hold(api: OpenAPI, base_url: str, response: requests.Response) -> None:
    path = urlsplit(response.url.removeprefix(base_url)).path
    if not response.url.startswith(base_url) or path.startswith(UNDESCRIBED):
        return
    request = RequestsOpenAPIRequest(response.request)
    if response.status_code not in {400, 404, 422}:
        api.validate_request(request)
    if path in FAULTY:
        return
    try:
        api.validate_response(request, RequestsOpenAPIResponse(response))
    except ResponseNotFound:
        if response.status_code not in ANYWHERE:
            raise


def checked_session(base_url: str) -> requests.Session:
    """A session whose every exchange is held against the description."""
    session = PlainSession()
    session.hooks["response"].append(contract_hook(base_url))
    return session
