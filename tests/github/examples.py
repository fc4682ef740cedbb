"""GitHub's own example answers, mended where they break GitHub's own schemas."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.github.contract import description
from tests.github.scripted import Reply

R = "/repos/{owner}/{repo}"


def example_of(method: str, template: str) -> Reply:
    """GitHub's example of a success, mended where it breaks GitHub's own schema."""
    responses = description()["paths"][template][method.lower()]["responses"]
    status = next(code for code in sorted(responses) if code[0] in "23")
    response = responses[status]
    response = _resolve(response)
    media = response.get("content", {}).get("application/json", {})
    examples = list(media.get("examples", {}).values())
    body = deepcopy(_resolve(examples[0]).get("value")) if examples else None
    if body is None and media:
        body = {}
    return Reply(int(status), _mend(template, body))


def _resolve(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        found: Any = description()
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def _mend(template: str, body: Any) -> Any:
    """Add what GitHub's faulty examples lack."""
    if template == "/app/installations":
        moment = "2026-01-01T00:00:00Z"
        account = {"name": "octocat", "slug": "octocat", "created_at": moment, "updated_at": moment}
        return [entry | {"account": entry["account"] | account} for entry in body]
    if isinstance(body, dict):
        for job in [body, *body.get("jobs", [])]:
            if "run_id" in job and "labels" in job:
                job.setdefault("created_at", "2026-01-01T00:00:00Z")
        if template == "/meta":
            return {name: _texts(value) for name, value in body.items()}
        if template == R:
            for repository in (
                body,
                body.get("template_repository"),
                body.get("parent"),
                body.get("source"),
            ):
                if repository:
                    repository.setdefault("language", None)
        if template == "/orgs/{org}":
            body.setdefault("archived_at", None)
        if template == "/user":
            body.setdefault("user_view_type", "private")
    return body


def _texts(value: Any) -> Any:
    if isinstance(value, dict):
        return (
            {name: str(entry) for name, entry in value.items()} if "SHA256_RSA" in value else value
        )
    return [str(entry) for entry in value] if isinstance(value, list) else value
