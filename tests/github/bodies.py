"""Smallest answers that fit GitHub's description."""

from __future__ import annotations

from typing import Any

ORG = "acme"


def runner(runner_id: int = 1, name: str = "runner-1", **changes: Any) -> dict[str, Any]:
    body = {
        "id": runner_id,
        "name": name,
        "os": "linux",
        "status": "online",
        "busy": False,
        "labels": [{"id": 1, "name": "self-hosted", "type": "read-only"}],
    }
    return body | changes


def runners(*entries: dict[str, Any], total: int | None = None) -> dict[str, Any]:
    return {"total_count": len(entries) if total is None else total, "runners": list(entries)}


def token(text: str = "AABF3JGZDX3P5PMEXLND6TS6FCWO6") -> dict[str, Any]:
    return {"token": text, "expires_at": "2026-11-23T13:00:00Z"}


def error(message: str, **more: Any) -> dict[str, Any]:
    return {"message": message, "documentation_url": "https://docs.github.com/rest", **more}


def rate_headers(remaining: int, reset: int, resource: str = "core") -> dict[str, str]:
    return {
        "X-RateLimit-Limit": "5000",
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Used": str(5000 - remaining),
        "X-RateLimit-Reset": str(reset),
        "X-RateLimit-Resource": resource,
    }
