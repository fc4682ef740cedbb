"""The two bases that every address in an answer is built from."""

from __future__ import annotations

from dataclasses import dataclass

API_V3 = "/api/v3"


@dataclass(frozen=True)
class Urls:
    """``api`` is the REST base the client used, ``web`` the site's; neither ends in a slash."""

    api: str
    web: str
