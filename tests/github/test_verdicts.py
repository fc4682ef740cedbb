"""Credential verdicts: each cause has its name and its fix, and unreachable is never invalid."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runners.github.auth import TokenAuth
from runners.github.needs import NEEDS, beyond_need, grants
from runners.github.urls import ScopeKind, ScopePath
from runners.github.verdicts import Verdict, VerdictCode, check_credential
from tests.github import bodies
from tests.github.conftest import TOKEN, FakeClock, MakeClient
from tests.github.examples import R, example_of
from tests.github.scripted import Reply, ScriptedServer
from tests.github.world import ENTERPRISE, ORG, REPO, TOKEN_PATH, World, refused

FINE = "github_pat_11ABCDEFG0" + "a1B2" * 15


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(REPO, "repo"), (ORG, "repo, admin:org"), (ENTERPRISE, "manage_runners:enterprise")],
)
def test_token_with_the_right_scope_is_valid(
    make_client: MakeClient, world: World, scope: ScopePath, scopes: str
) -> None:
    world.user(scopes)

    verdict = check_credential(make_client(), scope)
    assert verdict.code is VerdictCode.VALID
    assert verdict.usable
    assert verdict.severity == 0
    assert verdict.fix == ""
    assert verdict.login == "octocat"


def test_expired_or_revoked_token_is_invalid(make_client: MakeClient, world: World) -> None:
    world.on("/user", refused(401, "Bad credentials"))

    verdict = check_credential(make_client(), REPO)
    assert verdict.code is VerdictCode.INVALID
    assert not verdict.usable
    assert "expired" in verdict.message
    assert "/settings/tokens" in verdict.fix


@pytest.mark.parametrize(
    ("scope", "scopes", "missing"),
    [
        (REPO, "admin:org", "repo"),
        (ORG, "repo", "admin:org"),
        (ENTERPRISE, "admin:org", "manage_runners:enterprise"),
        (REPO, "", "repo"),
    ],
)
def test_missing_scope_is_named(
    make_client: MakeClient,
    server: ScriptedServer,
    world: World,
    scope: ScopePath,
    scopes: str,
    missing: str,
) -> None:
    world.user(scopes)

    verdict = check_credential(make_client(), scope)
    assert verdict.code is VerdictCode.WRONG_SCOPE
    assert f'"{missing}"' in verdict.message
    assert f'"{missing}"' in verdict.fix
    assert not any(received.path.endswith(TOKEN_PATH) for received in server.received)


def test_missing_fine_grained_permission_is_named_as_github_names_it(
    make_client: MakeClient, world: World
) -> None:
    accepted = {"X-Accepted-GitHub-Permissions": "administration=write"}
    message = "Resource not accessible by personal access token"
    world.user(None).on(TOKEN_PATH, refused(403, message, accepted))

    verdict = check_credential(make_client(auth=TokenAuth(FINE)), REPO)
    assert verdict.code is VerdictCode.WRONG_SCOPE
    assert "administration=write" in verdict.message
    assert "Administration: read and write" in verdict.fix


def test_scope_that_is_seen_but_not_administered_is_a_wrong_scope(
    make_client: MakeClient, world: World
) -> None:
    world.user("repo").on(TOKEN_PATH, refused(404, "Not Found"))
    world.on("/repos/acme/web", Reply(200, example_of("GET", R).body))

    verdict = check_credential(make_client(), REPO)
    assert verdict.code is VerdictCode.WRONG_SCOPE
    assert "no administrator" in verdict.message


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(REPO, "repo"), (ORG, "admin:org"), (ENTERPRISE, "manage_runners:enterprise")],
)
def test_scope_that_is_not_seen_is_not_found(
    make_client: MakeClient, world: World, scope: ScopePath, scopes: str
) -> None:
    world.user(scopes).on(TOKEN_PATH, refused(404, "Not Found"))

    verdict = check_credential(make_client(), scope)
    assert verdict.code is VerdictCode.SCOPE_NOT_FOUND
    assert scope.slug in verdict.message


def test_organization_that_is_seen_but_not_administered_is_a_wrong_scope(
    make_client: MakeClient, world: World
) -> None:
    body = example_of("GET", "/orgs/{org}").body
    world.user("admin:org").on(TOKEN_PATH, refused(404, "Not Found"))
    world.on("/orgs/acme", Reply(200, body))

    assert check_credential(make_client(), ORG).code is VerdictCode.WRONG_SCOPE


def test_token_that_may_do_far_more_is_too_broad(make_client: MakeClient, world: World) -> None:
    world.user("repo, delete_repo, admin:gpg_key")

    verdict = check_credential(make_client(), REPO)
    assert verdict.code is VerdictCode.TOO_BROAD
    assert verdict.usable
    assert "admin:gpg_key, delete_repo" in verdict.message
    assert verdict.seen == ("repo", "delete_repo", "admin:gpg_key")


@pytest.mark.parametrize(
    ("days", "code"), [(13.9, VerdictCode.EXPIRING), (14.1, VerdictCode.VALID)]
)
def test_token_that_expires_within_14_days_warns(
    make_client: MakeClient, world: World, clock: FakeClock, days: float, code: VerdictCode
) -> None:
    expires_at = clock.now + timedelta(days=days)
    world.user("repo", f"{expires_at:%Y-%m-%d %H:%M:%S} UTC")

    verdict = check_credential(make_client(), REPO)
    assert verdict.code is code
    assert verdict.usable
    assert verdict.expires_at == expires_at.replace(microsecond=0)


def test_expiring_token_that_is_too_broad_says_both(
    make_client: MakeClient, world: World, clock: FakeClock
) -> None:
    world.user("repo, delete_repo", f"{clock.now + timedelta(days=2):%Y-%m-%d %H:%M:%S} UTC")

    verdict = check_credential(make_client(), REPO)
    assert verdict.code is VerdictCode.EXPIRING
    assert verdict.warnings == (VerdictCode.TOO_BROAD,)
    assert "delete_repo" in verdict.message
    assert "2026-11-25" in verdict.message


@pytest.mark.parametrize(
    "message",
    [
        "Resource protected by organization SAML enforcement. You must grant your token access.",
        "`acme` forbids access via a fine-grained personal access token if the token's lifetime is "
        "greater than 366 days.",
        "`acme` forbids access via a personal access tokens (classic).",
        "Although you appear to have the correct authorization credentials, the `acme` "
        "organization has an IP allow list enabled.",
    ],
)
@pytest.mark.parametrize("at", ["/user", TOKEN_PATH])
def test_policy_of_the_organization_is_named(
    make_client: MakeClient, world: World, message: str, at: str
) -> None:
    world.user("admin:org").on(at, refused(403, message))

    verdict = check_credential(make_client(), ORG)
    assert verdict.code is VerdictCode.ORGANIZATION_POLICY
    assert "acme" in verdict.fix
    assert message[:20] in verdict.message


def test_single_sign_on_gives_the_page_that_mends_it(make_client: MakeClient, world: World) -> None:
    page = "https://github.com/orgs/acme/sso?authorization_request=AB"
    world.user("admin:org").on(
        TOKEN_PATH, refused(403, "Resource protected", {"X-GitHub-SSO": f"required; url={page}"})
    )

    verdict = check_credential(make_client(), ORG)
    assert verdict.code is VerdictCode.ORGANIZATION_POLICY
    assert page in verdict.fix


@pytest.mark.parametrize(
    "reply",
    [
        refused(503, "down"),
        Reply(429, bodies.error("slow"), {"Retry-After": "900"}),
        Reply(drop=True),
        Reply(200, raw=b"<html>"),
    ],
)
def test_unreachable_is_unknown_and_never_invalid(
    make_client: MakeClient, world: World, reply: Reply
) -> None:
    world.on("/user", reply)

    verdict = check_credential(make_client(max_wait_seconds=0, checked=False), REPO)
    assert verdict.code is VerdictCode.UNKNOWN
    assert "could not be checked" in verdict.message


def test_no_credential_is_said_plainly(make_client: MakeClient) -> None:
    verdict = check_credential(make_client(auth=None), REPO)

    assert verdict.code is VerdictCode.INVALID
    assert "Enter" in verdict.fix


def test_suspended_account_is_named(make_client: MakeClient, world: World) -> None:
    world.on("/user", refused(403, "Sorry. Your account was suspended"))

    assert check_credential(make_client(), REPO).code is VerdictCode.APP_SUSPENDED


def test_installation_token_is_checked_without_a_person(
    make_client: MakeClient, server: ScriptedServer, world: World
) -> None:
    verdict = check_credential(make_client(auth=TokenAuth(f"ghs_{'a' * 36}")), REPO)

    assert verdict.code is VerdictCode.VALID
    assert len(server.received) == 1


@pytest.mark.parametrize("token", [FINE, f"ghs_{'a' * 36}"])
def test_enterprise_needs_a_classic_token(make_client: MakeClient, token: str) -> None:
    verdict = check_credential(make_client(auth=TokenAuth(token)), ENTERPRISE)

    assert verdict.code is VerdictCode.WRONG_SCOPE
    assert "manage_runners:enterprise" in verdict.fix


@pytest.mark.parametrize("code", list(VerdictCode))
def test_every_verdict_has_its_place(code: VerdictCode) -> None:
    usable = {
        VerdictCode.VALID,
        VerdictCode.TOO_BROAD,
        VerdictCode.JOBS_UNSEEN,
        VerdictCode.EXPIRING,
    }

    assert Verdict(code, "x").usable is (code in usable)
    assert (Verdict(code, "x").severity > 3) is (code not in usable)


@pytest.mark.parametrize(
    ("held", "wanted", "enough"),
    [
        ("read", "read", True),
        ("read", "write", False),
        ("write", "read", True),
        ("admin", "write", True),
        ("", "read", False),
        ("strange", "read", False),
    ],
)
def test_permissions_are_ranked(held: str, wanted: str, enough: bool) -> None:
    assert grants({"a": held}, "a", wanted) is enough


@pytest.mark.parametrize("kind", [ScopeKind.REPOSITORY, ScopeKind.ORGANIZATION])
def test_what_managing_runners_takes_is_never_too_much(kind: ScopeKind) -> None:
    need = NEEDS[kind]

    assert beyond_need({**need.fitting_permissions, "metadata": "read"}, need) == ()
    assert not set(need.classic_scopes) - need.fitting_classic_scopes


def test_verdict_never_shows_the_token(make_client: MakeClient, world: World) -> None:
    world.on("/user", refused(401, f"Bad credentials {TOKEN}"))

    verdict = check_credential(make_client(), REPO)
    assert TOKEN not in repr(verdict)
