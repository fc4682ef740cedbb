"""Releases: those of the runner application in ``actions/runner``, with digests; none elsewhere."""

from __future__ import annotations

from runners.simulator import render
from runners.simulator.model import RunnerRelease
from runners.simulator.packages import PLATFORMS, download_url, package
from runners.simulator.permissions import repository_of
from runners.simulator.routing import Access, Call, Route, listed
from runners.simulator.runner_package.build import Package
from runners.simulator.seed import RUNNER_REPOSITORY
from runners.simulator.versions import version_key
from runners.simulator.wire import JsonObject, Response, iso, not_found
from runners.simulator.world import World

READ = Access("token", "contents", "read")
# Asset ids: the release's own times this, plus the platform's place in the list.
ASSET_ID_STEP = 100


def _releases(world: World, call: Call) -> list[RunnerRelease]:
    """Newest first; only the runner's repository has any."""
    if repository_of(world, call).full_name.lower() != RUNNER_REPOSITORY:
        return []
    found = world.store.releases.values()
    return sorted(found, key=lambda r: version_key(r.version), reverse=True)


def list_releases(world: World, call: Call) -> Response:
    """A repository's releases."""
    return listed(call, _releases(world, call), lambda r: _release(world, call, r))


def get_latest(world: World, call: Call) -> Response:
    """The newest release."""
    found = _releases(world, call)
    if not found:
        raise not_found()
    return Response(body=_release(world, call, found[0]))


def get_by_tag(world: World, call: Call) -> Response:
    """The release of a tag such as ``v2.336.0``."""
    for release in _releases(world, call):
        if call.params["tag"] == f"v{release.version}":
            return Response(body=_release(world, call, release))
    raise not_found()


def _find(world: World, call: Call) -> RunnerRelease:
    wanted = call.number("release_id")
    for release in _releases(world, call):
        if release.id == wanted:
            return release
    raise not_found()


def get_release(world: World, call: Call) -> Response:
    """One release."""
    return Response(body=_release(world, call, _find(world, call)))


def list_assets(world: World, call: Call) -> Response:
    """A release's files."""
    release = _find(world, call)
    return listed(call, range(len(PLATFORMS)), lambda index: _asset(world, call, release, index))


def get_asset(world: World, call: Call) -> Response:
    """A file's description, or with ``Accept: application/octet-stream`` the way to the file."""
    wanted = call.number("asset_id")
    for release in _releases(world, call):
        index = wanted - release.id * ASSET_ID_STEP
        if 0 <= index < len(PLATFORMS):
            if "application/octet-stream" not in call.headers.get("accept", ""):
                return Response(body=_asset(world, call, release, index))
            location = download_url(release.version, _built(release, index).filename, call.urls)
            return Response(302, None, {"Location": location}, content=b"")
    raise not_found()


def _built(release: RunnerRelease, index: int) -> Package:
    return package(release.version, *PLATFORMS[index])


def _release(world: World, call: Call, release: RunnerRelease) -> JsonObject:
    base = f"{call.urls.api}/repos/{RUNNER_REPOSITORY}"
    page = f"{call.urls.web}/{RUNNER_REPOSITORY}"
    tag = f"v{release.version}"
    published = iso(release.published_at)
    return {
        "id": release.id,
        "node_id": render.node_id(release.id),
        "url": f"{base}/releases/{release.id}",
        "html_url": f"{page}/releases/tag/{tag}",
        "assets_url": f"{base}/releases/{release.id}/assets",
        "upload_url": f"{base}/releases/{release.id}/assets{{?name,label}}",
        "tarball_url": f"{base}/tarball/{tag}",
        "zipball_url": f"{base}/zipball/{tag}",
        "tag_name": tag,
        "target_commitish": "main",
        "name": tag,
        "body": _notes(release),
        "draft": False,
        "prerelease": False,
        "immutable": False,
        "created_at": published,
        "published_at": published,
        "updated_at": published,
        "author": render.account(world, "actions", call.urls),
        "assets": [_asset(world, call, release, i) for i in range(len(PLATFORMS))],
    }


def _notes(release: RunnerRelease) -> str:
    """Release notes with the checksums where the real ones have them."""
    lines = ["## SHA-256 Checksums", ""]
    for index, (os, architecture) in enumerate(PLATFORMS):
        name, built = f"{os}-{architecture}", _built(release, index)
        digest = f"<!-- BEGIN SHA {name} -->{built.sha256}<!-- END SHA {name} -->"
        lines.append(f"- {built.filename} {digest}")
    return "\n".join(lines)


def _asset(world: World, call: Call, release: RunnerRelease, index: int) -> JsonObject:
    built = _built(release, index)
    number = release.id * ASSET_ID_STEP + index
    published = iso(release.published_at)
    return {
        "id": number,
        "node_id": render.node_id(number),
        "url": f"{call.urls.api}/repos/{RUNNER_REPOSITORY}/releases/assets/{number}",
        "browser_download_url": download_url(release.version, built.filename, call.urls),
        "name": built.filename,
        "label": "",
        "state": "uploaded",
        "content_type": "application/x-gzip",
        "size": len(built.content),
        "digest": f"sha256:{built.sha256}",
        "download_count": 0,
        "created_at": published,
        "updated_at": published,
        "uploader": render.account(world, "actions", call.urls),
    }


def _routes() -> tuple[Route, ...]:
    base = "/repos/{owner}/{repo}/releases"
    return (
        Route("GET", base, READ, list_releases),
        Route("GET", f"{base}/latest", READ, get_latest),
        Route("GET", f"{base}/tags/{{tag}}", READ, get_by_tag),
        Route("GET", f"{base}/assets/{{asset_id}}", READ, get_asset),
        Route("GET", f"{base}/{{release_id}}", READ, get_release),
        Route("GET", f"{base}/{{release_id}}/assets", READ, list_assets),
    )


ROUTES = _routes()
