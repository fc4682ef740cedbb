"""Releases of a repository and their files.

Source: GitHub Docs "REST API endpoints for releases", "... release assets". Permission: repository
"contents" read; none for public repositories.
"""

from __future__ import annotations

import hashlib
from urllib.parse import quote

from runners.github.http import Sink
from runners.github.transport import Call
from runners.github.types.listing import Listing, PageOf
from runners.github.types.releases import (
    Downloaded,
    Release,
    ReleaseAsset,
    parse_release,
    parse_release_asset,
)
from runners.github.urls import ScopePath

from .base import Endpoints

RELEASE_PAGE = PageOf(parse_release)
ASSET_PAGE = PageOf(parse_release_asset)
MAX_ASSET_BYTES = 1024 * 1024 * 1024
ACCEPT_FILE = "application/octet-stream"


class _Digesting:
    """Passes bytes on while it sums them up."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._sha256 = hashlib.sha256()
        self._size_bytes = 0

    def write(self, chunk: bytes, /) -> None:
        """Take the next piece."""
        self._size_bytes += len(chunk)
        self._sha256.update(chunk)
        self._sink.write(chunk)

    def result(self) -> Downloaded:
        """What went through."""
        return Downloaded(self._size_bytes, self._sha256.hexdigest())


class ReleaseEndpoints(Endpoints):
    """Operations under `/repos/{owner}/{repo}/releases`."""

    def list_releases(
        self, repository: ScopePath, *, max_items: int | None = None
    ) -> Listing[Release]:
        """List releases, newest first. "List releases"; read."""
        return self._list(
            "list_releases",
            f"{repository.api_path}/releases",
            RELEASE_PAGE,
            lambda release: release.id,
            max_items=max_items,
        )

    def get_latest_release(self, repository: ScopePath) -> Release:
        """The newest full release. "Get the latest release"; read."""
        path = f"{repository.api_path}/releases/latest"
        return self._get("get_latest_release", path, parse_release)

    def get_release_by_tag(self, repository: ScopePath, tag: str) -> Release:
        """The release of a tag ("v2.336.0"). "Get a release by tag name"; read."""
        path = f"{repository.api_path}/releases/tags/{quote(tag, safe='')}"
        return self._get("get_release_by_tag", path, parse_release)

    def list_release_assets(self, repository: ScopePath, release_id: int) -> Listing[ReleaseAsset]:
        """Files of a release. "List release assets"; read."""
        return self._list(
            "list_release_assets",
            f"{repository.api_path}/releases/{release_id}/assets",
            ASSET_PAGE,
            lambda asset: asset.id,
        )

    def get_release_asset(self, repository: ScopePath, asset_id: int) -> ReleaseAsset:
        """One file's description. "Get a release asset"; read."""
        path = f"{repository.api_path}/releases/assets/{asset_id}"
        return self._get("get_release_asset", path, parse_release_asset)

    def download_release_asset(
        self,
        repository: ScopePath,
        asset_id: int,
        sink: Sink,
        *,
        max_bytes: int = MAX_ASSET_BYTES,
    ) -> Downloaded:
        """Write a file to `sink`. "Get a release asset"; read.

        Raises GitHubUnavailable when it broke off: throw away what was written.
        """
        digesting = _Digesting(sink)
        call = Call(
            "download_release_asset",
            f"{repository.api_path}/releases/assets/{asset_id}",
            accept=ACCEPT_FILE,
            max_bytes=max_bytes,
        )
        self._transport.send(call, digesting)
        return digesting.result()
