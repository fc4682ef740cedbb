"""Releases and their files, for the runner application's own releases.

Source: GitHub Docs "REST API endpoints for releases", "... release assets".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from runners.github.parsing import Fields, Json


@dataclass(frozen=True, slots=True)
class ReleaseAsset:
    """A file of a release; `digest` is like "sha256:HEX", "" where GitHub has none."""

    id: int
    name: str
    size_bytes: int
    content_type: str
    state: str
    digest: str
    browser_download_url: str


@dataclass(frozen=True, slots=True)
class Release:
    """A release; `body` is its notes in Markdown."""

    id: int
    tag_name: str
    name: str
    body: str
    draft: bool
    prerelease: bool
    html_url: str
    created_at: datetime
    published_at: datetime | None
    assets: tuple[ReleaseAsset, ...]


@dataclass(frozen=True, slots=True)
class Downloaded:
    """What a download wrote; compare `sha256` with the digest before using it."""

    size_bytes: int
    sha256: str


def parse_release_asset(value: Json) -> ReleaseAsset:
    """Read a release-asset."""
    fields = Fields(value, "asset")
    return ReleaseAsset(
        id=fields.number("id"),
        name=fields.text("name"),
        size_bytes=fields.number("size"),
        content_type=fields.text("content_type"),
        state=fields.text("state"),
        digest=fields.text_or("digest"),
        browser_download_url=fields.text("browser_download_url"),
    )


def parse_release(value: Json) -> Release:
    """Read a release."""
    fields = Fields(value, "release")
    return Release(
        id=fields.number("id"),
        tag_name=fields.text("tag_name"),
        name=fields.text_or("name"),
        body=fields.text_or("body"),
        draft=fields.flag("draft"),
        prerelease=fields.flag("prerelease"),
        html_url=fields.text_or("html_url"),
        created_at=fields.moment("created_at"),
        published_at=fields.moment_or_none("published_at"),
        assets=fields.list_of_or("assets", parse_release_asset),
    )
