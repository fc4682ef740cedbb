"""Which runner packages GitHub offers a scope, and since when each version."""

from __future__ import annotations

from datetime import datetime, timedelta

from runners.models import RunnerPackage, Scope
from runners.registry import RunnerRegistry, path_of

KNOWN_FOR = timedelta(hours=1)


def refresh(scope: Scope, *, github: RunnerRegistry, now: datetime) -> int:
    """Learn, at most once an hour, which runner packages GitHub offers; returns how many."""
    if RunnerPackage.objects.filter(scope=scope, seen_at__gt=now - KNOWN_FOR).exists():
        return 0
    known = {
        (package.os, package.architecture): package
        for package in RunnerPackage.objects.filter(scope=scope)
    }
    offered = 0
    for package in github.list_runner_applications(path_of(scope)):
        version = package.filename.removesuffix(".tar.gz").removesuffix(".zip").rpartition("-")[2]
        if not package.sha256_checksum:
            continue  # nothing to check a download against: never offered to a host
        was = known.get((package.os, package.architecture))
        same = was is not None and was.version == version
        RunnerPackage.objects.update_or_create(
            scope=scope,
            os=package.os,
            architecture=package.architecture,
            defaults={
                "version": version,
                "version_since": was.version_since if was is not None and same else now,
                "filename": package.filename,
                "download_url": package.download_url,
                "sha256": package.sha256_checksum.lower(),
                "seen_at": now,
            },
        )
        offered += 1
    return offered
