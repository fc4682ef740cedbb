"""Credential verdicts: each cause has its name and its fix, and unreachable is never invalid."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runners.github.auth import AppAuth, TokenAuth
from runners.github.needs import NEEDS, beyond_need, grants
from runners.github.urls import ScopeKind, ScopePath
from runners.github.verdicts import Verdict, VerdictCode, check_credential
from tests.github import bodies
from tests.github.conftest import TOKEN, FakeClock, MakeClient
from tests.github.scripted import Received, Reply, ScriptedServer
from tests.github.test_operations import R, example_of

REPO = ScopePath.repository("acme/web")
ORG = ScopePath.organization("acme")
ENTERPRISE = ScopePath.enterprise("acme-inc")
FINE = "github_pat_11ABCDEFG0" + "a1B2" * 15

TOKEN_PATH = "/actions/runners/registration-token"
DATE = "%a, %d %b %Y %H:%M:%S GMT"


class World:
    """A GitHub that gives one answer a question."""

    def __init__(self, server: ScriptedServer) -> None:
        self.answers: dict[str, Reply] = {}
        server.responder = self._respond

    def _respond(self, received: Received) -> Reply:
        path = received.path.split("?")[0]
        for end, reply in self.answers.items():
            if path.endswith(end):
                return reply
        if path.endswith(TOKEN_PATH):
            return Reply(201, bodies.token())
        return Reply(404, bodies.error("Not Found"))

    def user(self, scopes: str | None = "repo", expires: str = "") -> World:
        sent = {} if scopes is None else {"X-OAuth-Scopes": scopes}
        if expires:
            sent["GitHub-Authentication-Token-Expiration"] = expires
        self.answers["/user"] = Reply(200, example_of("GET", "/user").body, sent)
        return self

    def on(self, end: str, reply: Reply) -> World:
        self.answers[end] = reply
        return self


@pytest.fixture
def world(server: ScriptedServer) -> World:
    return World(server)


@pytest.fixture(scope="module")
def pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def refused(status: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, bodies.error(message), headers or {})


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


# GitHub Apps.


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
@pytest.mark.parametrize("installation_id", [7, None])
def test_app_with_its_permission_is_valid(
    make_client: MakeClient,
    world: World,
    pem: str,
    scope: ScopePath,
    permission: str,
    installation_id: int | None,
) -> None:
    app_world(world, {permission: "write", "metadata": "read", "actions": "read"})
    auth = AppAuth("Iv23abc", pem, 7)
    auth.installation_id = 7 if installation_id is None else installation_id

    verdict = check_credential(make_client(auth=auth), scope)
    assert verdict.code is VerdictCode.VALID
    assert verdict.seen is not None
    assert f"{permission}: write" in verdict.seen


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
    app_world(world, {"administration": "write", "contents": "write", "issues": "read"})

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


@pytest.mark.parametrize("code", list(VerdictCode))
def test_every_verdict_has_its_place(code: VerdictCode) -> None:
    usable = {VerdictCode.VALID, VerdictCode.TOO_BROAD, VerdictCode.EXPIRING}

    assert Verdict(code, "x").usable is (code in usable)
    assert (Verdict(code, "x").severity > 2) is (code not in usable)


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
