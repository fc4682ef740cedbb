"""The runner application as GitHub offers it: the platforms of a version, files and checksums.

The files themselves are built by ``runner_package``; here they are only named, kept and handed out.
"""

from __future__ import annotations

from functools import lru_cache

from runners.simulator.runner_package.build import Package, build_package
from runners.simulator.urls import Urls
from runners.simulator.wire import JsonObject

PLATFORMS = (
    ("osx", "x64"),
    ("osx", "arm64"),
    ("linux", "x64"),
    ("linux", "arm"),
    ("linux", "arm64"),
    ("win", "x64"),
    ("win", "arm64"),
)


@lru_cache(maxsize=256)
def package(version: str, os: str, architecture: str) -> Package:
    """The file for a platform; the same bytes each time."""
    return build_package(version, os, architecture)


def download_url(version: str, filename: str, urls: Urls) -> str:
    """Where a release's file is fetched from, as on github.com."""
    return f"{urls.web}/actions/runner/releases/download/v{version}/{filename}"


def applications(version: str, urls: Urls) -> list[JsonObject]:
    """What ``GET …/runners/downloads`` lists."""
    listed: list[JsonObject] = []
    for os, architecture in PLATFORMS:
        built = package(version, os, architecture)
        listed.append(
            {
                "os": os,
                "architecture": architecture,
                "download_url": download_url(version, built.filename, urls),
                "filename": built.filename,
                "sha256_checksum": built.sha256,
            }
        )
    return listed
