"""The runner application: releases, digests, downloads, and a new version coming out."""

import hashlib
import re

import pytest
import requests

from runners.simulator import Simulator
from tests.simulator.client import Client

RELEASES = "/repos/actions/runner/releases"


def publish(sim: Simulator, **release: object) -> requests.Response:
    return requests.post(f"{sim.url}/_sim/releases", json=release, timeout=5)


def test_downloaded_file_has_the_checksum_promised(sim: Simulator, admin: Client) -> None:
    listed = admin.get("/orgs/acme/actions/runners/downloads").json()
    linux = next(d for d in listed if (d["os"], d["architecture"]) == ("linux", "x64"))
    content = requests.get(linux["download_url"], timeout=5).content
    assert hashlib.sha256(content).hexdigest() == linux["sha256_checksum"]


def test_newest_release_comes_first(admin: Client) -> None:
    tags = [r["tag_name"] for r in admin.get(RELEASES).json()]
    assert tags == ["v2.336.0", "v2.335.0", "v2.334.0", "v2.329.0"]
    assert admin.get(f"{RELEASES}/latest").json()["tag_name"] == "v2.336.0"


def test_release_is_found_by_tag_and_by_id(admin: Client) -> None:
    release = admin.get(f"{RELEASES}/tags/v2.335.0").json()
    assert admin.get(f"{RELEASES}/{release['id']}").json() == release
    assert admin.get(f"{RELEASES}/tags/v1.0.0").status_code == 404


def test_asset_has_a_digest_and_leads_to_the_file(sim: Simulator, admin: Client) -> None:
    release = admin.get(f"{RELEASES}/latest").json()
    assets = admin.get(f"{RELEASES}/{release['id']}/assets").json()
    asset = next(a for a in assets if "linux-arm64" in a["name"])
    described = admin.get(f"{RELEASES}/assets/{asset['id']}").json()
    assert described == asset
    binary = {"Accept": "application/octet-stream"}
    redirect = admin.get(f"{RELEASES}/assets/{asset['id']}", headers=binary)
    content = requests.get(redirect.headers["Location"], timeout=5).content
    assert f"sha256:{hashlib.sha256(content).hexdigest()}" == asset["digest"]
    assert len(content) == asset["size"]


def test_notes_carry_the_checksums(admin: Client) -> None:
    release = admin.get(f"{RELEASES}/latest").json()
    found = re.search(r"BEGIN SHA linux-x64 -->(\w+)<!-- END", release["body"])
    asset = next(a for a in release["assets"] if "linux-x64" in a["name"])
    assert found is not None
    assert asset["digest"] == f"sha256:{found[1]}"


def test_other_repositories_have_no_releases(admin: Client) -> None:
    assert admin.get("/repos/acme/web/releases").json() == []
    assert admin.get("/repos/acme/web/releases/latest").status_code == 404


def test_file_that_was_never_published_is_not_found(sim: Simulator) -> None:
    url = f"{sim.url}/actions/runner/releases/download/v9.9.9/actions-runner-linux-x64-9.9.9.tar.gz"
    assert requests.get(url, timeout=5).status_code == 404


def test_new_version_is_offered_once_it_is_current(sim: Simulator, admin: Client) -> None:
    publish(sim, version="2.337.0")
    assert "2.336.0" in admin.get("/orgs/acme/actions/runners/downloads").json()[0]["filename"]
    publish(sim, version="2.337.0", current=True)
    assert "2.337.0" in admin.get("/orgs/acme/actions/runners/downloads").json()[0]["filename"]
    assert admin.get(f"{RELEASES}/latest").json()["tag_name"] == "v2.337.0"


def test_dates_of_a_version_are_told(sim: Simulator, admin: Client) -> None:
    publish(sim, version="2.335.0", runtime_deprecates_at="2027-01-01T00:00:00+00:00")
    told = admin.get("/orgs/acme/actions/runners/deprecations/2.335.0").json()
    assert told["runtime_deprecates_at"] == "2027-01-01T00:00:00Z"
    publish(sim, version="2.335.0", runtime_deprecates_at=None)
    told = admin.get("/orgs/acme/actions/runners/deprecations/2.335.0").json()
    assert told["runtime_deprecates_at"] is None


@pytest.mark.parametrize("wrong", [{}, {"version": "latest"}, {"version": "2.1"}])
def test_release_nobody_can_read_is_refused(sim: Simulator, wrong: dict[str, str]) -> None:
    assert publish(sim, **wrong).status_code == 422
