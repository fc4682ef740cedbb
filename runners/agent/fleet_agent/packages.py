"""Runner packages: downloaded once a version, digest checked, unpacked, shared read-only.

A package exists when its directory has its final name: it is downloaded and unpacked under a
temporary name and renamed last, so that nothing half-done is ever used, whatever is interrupted
and wherever. The digest in the directory's name keeps two builds of one version apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

import requests

from .causes import lacks_space
from .errors import AgentError
from .removal import TRASH_PREFIX, remove_tree
from .unpack import DEFAULT_LIMITS, HostileArchive, Limits, unpack
from .urls import require_safe_url
from .wire import Package

log = logging.getLogger(__name__)

ARCHIVE_BYTES = 1024**3
TIMEOUT_SECONDS = (10, 60)
CHUNK_BYTES = 256 * 1024
TEMPORARY_PREFIX = ".new-"
LISTENER = "bin/Runner.Listener"
UNUSED_SECONDS = 7 * 24 * 3600.0


class PackageRefused(AgentError):
    """This package can never be used as offered: trying again is of no use."""

    cause = "package"


class PackageUnavailable(AgentError):
    """The package could not be fetched now; trying again may help."""

    cause = "package"


def directory_name(package: Package) -> str:
    """Return the directory name of a package, e.g. ``2.336.0-linux-x64-0123456789abcdef``."""
    for part in (package.version, package.os, package.architecture):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}", part):
            raise PackageRefused(f"the package is called {part!r}, which is no version or platform")
    if not re.fullmatch(r"[0-9a-f]{64}", package.sha256):
        raise PackageRefused(
            "the package came without its SHA-256: nothing unchecked is ever started"
        )
    return f"{package.version}-{package.os}-{package.architecture}-{package.sha256[:16]}"


class PackageStore:
    """The host's packages under one directory."""

    def __init__(
        self,
        root: Path,
        *,
        archive_bytes: int = ARCHIVE_BYTES,
        limits: Limits = DEFAULT_LIMITS,
        verify_for: Callable[[str], bool | str] = lambda url: True,
    ) -> None:
        self.root = root
        self.archive_bytes = archive_bytes
        self.limits = limits
        self.verify_for = verify_for
        self.fetching = threading.Lock()
        root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def fetch(self, package: Package, stop: Callable[[], bool] = lambda: False) -> Path:
        """Return the unpacked tree, downloading it first when it is not here.

        Raises PackageRefused or PackageUnavailable; both messages are fit for the host's page.
        """
        final = self.root / directory_name(package)
        with self.fetching:  # slots that want the same package wait for the first one's download
            if not final.is_dir():
                self._fetch(package, final, stop)
            os.utime(final)  # the sweep goes by when a package was last used
        return final

    def _fetch(self, package: Package, final: Path, stop: Callable[[], bool]) -> None:
        require_safe_url(package.url, "the package's address")
        temporary = self.root / f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        temporary.mkdir(mode=0o700)
        try:
            archive = temporary / "archive.tar.gz"
            self._download(package, archive, stop)
            tree = temporary / "tree"
            tree.mkdir(mode=0o755)
            try:
                unpack(archive, tree, self.limits)
            except HostileArchive as err:
                if lacks_space(err):
                    raise PackageUnavailable(
                        "no space left on the disk to unpack the package: make room on the host"
                    ) from err
                raise PackageRefused(f"the package was refused: {err}") from err
            if not os.access(tree / LISTENER, os.X_OK):
                raise PackageRefused(f"the package holds no {LISTENER}: it is no runner")
            self._publish(tree, final)
        finally:
            remove_tree(temporary)
        log.info("package %s is ready", final.name)

    def _publish(self, tree: Path, final: Path) -> None:
        tree.chmod(0o700)  # a read-only directory cannot be renamed into another parent
        try:
            os.rename(tree, final)
        except OSError as err:
            raise PackageUnavailable(f"the package could not be put in place: {err}") from err
        final.chmod(0o555)

    def _download(self, package: Package, archive: Path, stop: Callable[[], bool]) -> None:
        digest = hashlib.sha256()
        size = 0
        try:
            with (
                requests.get(
                    package.url,
                    stream=True,
                    timeout=TIMEOUT_SECONDS,
                    verify=self.verify_for(package.url),
                    auth=lambda request: request,  # without one, a .netrc file would be asked
                ) as answer,
                archive.open("xb") as file,
            ):
                if answer.status_code != 200:
                    raise PackageUnavailable(
                        f"the package's address answered {answer.status_code}: check that this "
                        "host can reach it"
                    )
                for chunk in answer.iter_content(CHUNK_BYTES):
                    size += len(chunk)
                    if size > self.archive_bytes:
                        raise PackageRefused(f"the package is over {self.archive_bytes} bytes")
                    if stop():
                        raise PackageUnavailable("the agent is stopping")
                    digest.update(chunk)
                    file.write(chunk)
        except requests.RequestException as err:
            raise PackageUnavailable(
                f"the download broke off ({type(err).__name__}): check that this host can reach "
                "the package's address"
            ) from err
        except OSError as err:
            raise PackageUnavailable(f"the package could not be stored: {err.strerror}") from err
        if digest.hexdigest() != package.sha256:
            raise PackageRefused(
                "the package's SHA-256 differs from the one the server named: check the mirror or "
                "proxy in between"
            )

    def sweep(self, in_use: set[str], now: float) -> list[str]:
        """Delete half-done fetches and packages long unused; return the names that went.

        ``in_use`` names the packages of slots there are; ``now`` is in seconds since the epoch.
        Only for the agent's start, when nothing is being fetched.
        """
        gone = []
        for entry in self.root.iterdir():
            temporary = entry.name.startswith((TEMPORARY_PREFIX, TRASH_PREFIX))
            recent = now - entry.stat().st_mtime < UNUSED_SECONDS
            if temporary or (entry.name not in in_use and not recent):
                with contextlib.suppress(OSError):
                    remove_tree(entry)
                    gone.append(entry.name)
        return gone
