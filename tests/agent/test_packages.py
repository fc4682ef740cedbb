"""The package store: nothing unchecked, nothing half done, nothing twice."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from fleet_agent.packages import (
    UNUSED_SECONDS,
    PackageRefused,
    PackageStore,
    PackageUnavailable,
    directory_name,
)
from fleet_agent.urls import UnsafeUrl
from fleet_agent.wire import Package, parse_package

from tests.agent.dashboard import Dashboard


def offered(dashboard: Dashboard, **fields: str) -> Package:
    """The stand-in runner package as this server offers it."""
    package = parse_package(dashboard.package() | fields)
    assert package is not None
    return package


@pytest.fixture
def store(tmp_path: Path) -> PackageStore:
    """An empty store."""
    return PackageStore(tmp_path / "packages")


def test_package_is_fetched_once(dashboard: Dashboard, store: PackageStore) -> None:
    package = offered(dashboard)
    first = store.fetch(package)
    assert store.fetch(package) == first
    assert (first / "bin" / "Runner.Listener").exists()
    assert len(dashboard.file_requests) == 1


def test_package_asked_for_by_several_at_once_is_fetched_once(
    dashboard: Dashboard, store: PackageStore
) -> None:
    package = offered(dashboard)
    threads = [threading.Thread(target=store.fetch, args=(package,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(dashboard.file_requests) == 1


def test_other_digest_is_refused(dashboard: Dashboard, store: PackageStore) -> None:
    with pytest.raises(PackageRefused, match="SHA-256 differs"):
        store.fetch(offered(dashboard, sha256="0" * 64))
    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("digest", ["", "abc", "g" * 64])
def test_missing_digest_is_refused_before_any_download(
    dashboard: Dashboard, store: PackageStore, digest: str
) -> None:
    with pytest.raises(PackageRefused, match="nothing unchecked"):
        store.fetch(offered(dashboard, sha256=digest))
    assert dashboard.file_requests == []


@pytest.mark.parametrize("version", ["../../etc", "", "a/b", ".hidden"])
def test_version_that_is_no_version_is_refused(
    dashboard: Dashboard, store: PackageStore, version: str
) -> None:
    with pytest.raises(PackageRefused):
        store.fetch(offered(dashboard, version=version))


@pytest.mark.parametrize("cut_at", [0, 1, 1000])
def test_download_that_breaks_off_leaves_nothing_and_works_later(
    dashboard: Dashboard, store: PackageStore, cut_at: int
) -> None:
    package = offered(dashboard)
    dashboard.cut_files_at = cut_at
    with pytest.raises((PackageUnavailable, PackageRefused)):
        store.fetch(package)
    assert list(store.root.iterdir()) == []
    dashboard.cut_files_at = None
    assert store.fetch(package).is_dir()


def test_missing_file_is_unavailable(dashboard: Dashboard, store: PackageStore) -> None:
    with pytest.raises(PackageUnavailable, match="404"):
        store.fetch(replace(offered(dashboard), url=f"{dashboard.url}/packages/none"))


def test_server_that_is_away_is_unavailable(store: PackageStore) -> None:
    with Dashboard() as dashboard:
        package = offered(dashboard)
    with pytest.raises(PackageUnavailable, match="broke off"):
        store.fetch(package)


def test_package_over_the_limit_is_refused(dashboard: Dashboard, tmp_path: Path) -> None:
    store = PackageStore(tmp_path / "packages", archive_bytes=1000)
    with pytest.raises(PackageRefused, match="over 1000 bytes"):
        store.fetch(offered(dashboard))


def test_plain_http_elsewhere_is_refused(dashboard: Dashboard, store: PackageStore) -> None:
    package = replace(offered(dashboard), url="http://mirror.example.org/runner.tar.gz")
    with pytest.raises(UnsafeUrl):
        store.fetch(package)


def test_archive_that_is_no_runner_is_refused(dashboard: Dashboard, store: PackageStore) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("readme"), io.BytesIO(b""))
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    package = parse_package(dashboard.offer("other.tar.gz", buffer.getvalue(), digest))
    assert package is not None
    with pytest.raises(PackageRefused, match=r"Runner\.Listener"):
        store.fetch(package)
    assert list(store.root.iterdir()) == []


def test_sweep_keeps_what_is_used_or_recent(dashboard: Dashboard, store: PackageStore) -> None:
    package = offered(dashboard)
    path = store.fetch(package)
    (store.root / ".new-half").mkdir()
    now = time.time()
    assert store.sweep(set(), now) == [".new-half"]
    long_ago = now - UNUSED_SECONDS - 1
    os.utime(path, (long_ago, long_ago))
    assert store.sweep({directory_name(package)}, now) == []
    assert store.sweep(set(), now) == [path.name]
    assert list(store.root.iterdir()) == []
