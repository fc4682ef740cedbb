"""Verdicts on a GitHub App: key, installation, permissions, suspension, clock."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from runners.github.auth import AppAuth
from runners.github.urls import ScopePath
from runners.github.verdicts import VerdictCode, check_credential
from tests.github.conftest import FakeClock, MakeClient
from tests.github.examples import example_of
from tests.github.scripted import Reply
from tests.github.world import ENTERPRISE, ORG, REPO, TOKEN_PATH, World, refused

DATE = "%a, %d %b %Y %H:%M:%S GMT"


def app_body(**permissions: str) -> dict[str, Any]:
    body: dict[str, Any] = example_of("GET", "/app").body
    return body | {"permissions": permissions}


def installation_body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = example_of("GET", "/orgs/{org}/installation").body
    return body | {"id": 7, "suspended_at": None} | changes


def app_world(
    world: World, permissions: Mapping[str, str], granted: Mapping[str, str] | None = None
) -> World:
    held = dict(permissions if granted is None else granted)
    world.on("/app", Reply(200, app_body(**permissions)))
    world.on("/installation", Reply(200, installation_body(permissions=held)))
    expires = "2026-11-23T13:00:00Z"
    return world.on(
        "/app/installations/7/access_tokens",
        Reply(201, {"token": f"ghs_{'a' * 36}", "expires_at": expires}),
    )


@pytest.mark.parametrize(
    ("scope", "permission"),
    [(REPO, "administration"), (ORG, "organization_self_hosted_runners")],
)
def test_app_with_its_permission_is_valid(
    make_client: MakeClient,
    world: World,
    pem: str,
    scope: ScopePath,
    permission: str,
) -> None:
    app_world(world, {permission: "write", "metadata": "read", "actions": "read"})

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), scope)
    assert verdict.code is VerdictCode.VALID
    assert verdict.seen is not None
    assert f"{permission}: write" in verdict.seen


def test_app_that_may_not_read_jobs_is_usable_and_told_so(
    make_client: MakeClient, world: World, pem: str
) -> None:
    app_world(world, {"organization_self_hosted_runners": "write", "metadata": "read"})

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), ORG)
    assert verdict.code is VerdictCode.JOBS_UNSEEN
    assert verdict.usable
    assert "jobs" in verdict.message
    assert '"Actions: read" on the App\'s page' in verdict.fix
    assert verdict.warnings == ()


def test_app_whose_right_to_read_jobs_is_not_accepted_is_told_where(
    make_client: MakeClient, world: World, pem: str
) -> None:
    held = {"administration": "write", "contents": "write"}
    app_world(world, held | {"actions": "read"}, held)

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.JOBS_UNSEEN
    assert "accepts" in verdict.fix
    assert "https://" in verdict.fix
    assert verdict.warnings == (VerdictCode.TOO_BROAD,)


def test_app_without_its_permission_is_told_where_to_add_it(
    make_client: MakeClient, world: World, pem: str
) -> None:
    app_world(world, {"administration": "read"})

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.APP_WITHOUT_PERMISSION
    assert "Administration: read and write" in verdict.message
    assert "App's page" in verdict.fix


def test_permission_not_accepted_yet_is_told_where_to_accept_it(
    make_client: MakeClient, world: World, pem: str
) -> None:
    app_world(world, {"administration": "write"}, {"administration": "read"})

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.APP_WITHOUT_PERMISSION
    assert "not accepted" in verdict.message
    assert "https://" in verdict.fix


def test_app_that_is_not_installed_is_named(
    make_client: MakeClient, world: World, pem: str
) -> None:
    world.on("/app", Reply(200, app_body(administration="write")))

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.APP_NOT_INSTALLED
    assert "acme" in verdict.fix


def test_other_installation_is_corrected(make_client: MakeClient, world: World, pem: str) -> None:
    app_world(world, {"administration": "write"})

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 99)), REPO)
    assert verdict.code is VerdictCode.APP_NOT_INSTALLED
    assert "Enter 7" in verdict.fix


def test_suspended_installation_is_named(make_client: MakeClient, world: World, pem: str) -> None:
    app_world(world, {"administration": "write"})
    body = installation_body(suspended_at="2026-11-01T00:00:00Z")
    world.on("/installation", Reply(200, body))

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.APP_SUSPENDED
    assert "2026-11-01" in verdict.message


def test_app_with_more_than_it_needs_is_too_broad(
    make_client: MakeClient, world: World, pem: str
) -> None:
    held = {"administration": "write", "actions": "read", "contents": "write", "issues": "read"}
    app_world(world, held)

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.TOO_BROAD
    assert "contents" in verdict.message
    assert "issues" not in verdict.message


def test_app_refused_at_the_scope_after_all_is_told_why(
    make_client: MakeClient, world: World, pem: str
) -> None:
    app_world(world, {"administration": "write"})
    world.on(TOKEN_PATH, refused(403, "Resource not accessible by integration"))

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.WRONG_SCOPE


@pytest.mark.parametrize("status", [401, 404])
def test_key_of_another_app_is_invalid(
    make_client: MakeClient, world: World, pem: str, status: int
) -> None:
    world.on("/app", refused(status, "A JSON web token could not be decoded"))

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.INVALID
    assert "private key" in verdict.fix


def test_wrong_clock_is_named_as_the_cause(
    make_client: MakeClient, world: World, clock: FakeClock, pem: str
) -> None:
    date = (clock.now - timedelta(minutes=30)).strftime(DATE)
    world.on("/app", refused(401, "Token is expired", {"Date": date}))

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), REPO)
    assert verdict.code is VerdictCode.INVALID
    assert "clock" in verdict.fix


def test_app_cannot_manage_an_enterprise(make_client: MakeClient, pem: str) -> None:
    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, 7)), ENTERPRISE)

    assert verdict.code is VerdictCode.WRONG_SCOPE
    assert "classic" in verdict.fix


def test_app_without_an_installation_number_is_told_to_enter_it(
    make_client: MakeClient, world: World, pem: str
) -> None:
    app_world(world, {"administration": "write"})

    verdict = check_credential(make_client(auth=AppAuth("Iv23abc", pem, None)), REPO)
    assert verdict.code is VerdictCode.INVALID
    assert "installation" in verdict.message


def test_unreachable_app_is_unknown(make_client: MakeClient, world: World, pem: str) -> None:
    world.on("/app", refused(503, "down"))

    client = make_client(auth=AppAuth("Iv23abc", pem, 7), max_wait_seconds=0)
    assert check_credential(client, REPO).code is VerdictCode.UNKNOWN
