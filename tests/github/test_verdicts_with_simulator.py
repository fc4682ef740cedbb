"""Verdicts on credentials of every kind, as the simulator enforces GitHub's rules."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from runners.github.urls import ScopePath
from runners.github.verdicts import VerdictCode, check_credential
from runners.simulator import Fault, Simulator
from tests.github.conftest import Connect
from tests.github.simulation import app, steer, token

REPO = ScopePath.repository("acme/web")
ORG = ScopePath.organization("acme")
ENTERPRISE = ScopePath.enterprise("big-corp")


@pytest.mark.parametrize("scope", [REPO, ORG, ENTERPRISE], ids=lambda s: str(s.kind))
def test_administrators_token_is_usable(connect: Connect, scope: ScopePath) -> None:
    assert check_credential(connect(), scope).usable


def test_minimal_token_is_valid(sim: Simulator, connect: Connect) -> None:
    auth = token(sim, "classic", scopes=["repo"])

    verdict = check_credential(connect(auth), REPO)
    assert verdict.code is VerdictCode.VALID
    assert verdict.seen == ("repo",)


@pytest.mark.parametrize(
    ("scope", "scopes"),
    [(REPO, ["read:org"]), (ORG, ["repo"]), (ENTERPRISE, ["repo", "admin:org"])],
)
def test_token_without_the_scope_is_named(
    sim: Simulator, connect: Connect, scope: ScopePath, scopes: list[str]
) -> None:
    verdict = check_credential(connect(token(sim, "classic", scopes=scopes)), scope)

    assert verdict.code is VerdictCode.WRONG_SCOPE


def test_token_with_far_more_is_too_broad(sim: Simulator, connect: Connect) -> None:
    auth = token(sim, "classic", scopes=["repo", "delete_repo"])

    assert check_credential(connect(auth), REPO).code is VerdictCode.TOO_BROAD


def test_fine_grained_token_with_its_permission_is_valid(sim: Simulator, connect: Connect) -> None:
    auth = token(sim, "fine_grained", owner="acme", permissions={"administration": "write"})

    assert check_credential(connect(auth), REPO).code is VerdictCode.VALID


def test_fine_grained_token_without_its_permission_is_named(
    sim: Simulator, connect: Connect
) -> None:
    auth = token(sim, "fine_grained", owner="acme", permissions={"administration": "read"})

    verdict = check_credential(connect(auth), REPO)
    assert verdict.code is VerdictCode.WRONG_SCOPE
    assert "administration=write" in verdict.message


def test_expiring_token_warns_and_expired_one_is_invalid(sim: Simulator, connect: Connect) -> None:
    auth = token(sim, "classic", scopes=["repo"], life_seconds=10 * 86400)

    verdict = check_credential(connect(auth), REPO)
    assert verdict.code is VerdictCode.EXPIRING
    assert verdict.expires_at is not None
    sim.clock.advance(11 * 86400)
    assert check_credential(connect(auth), REPO).code is VerdictCode.INVALID


@pytest.mark.parametrize(
    ("policy", "kind", "rights"),
    [
        ({"classic_forbidden": True}, "classic", {"scopes": ["admin:org"]}),
        ({"sso_required": True}, "classic", {"scopes": ["admin:org"]}),
        (
            {"fine_grained_forbidden": True},
            "fine_grained",
            {"owner": "acme", "permissions": {"organization_self_hosted_runners": "write"}},
        ),
        (
            {"fine_grained_max_days": 30},
            "fine_grained",
            {"owner": "acme", "permissions": {"organization_self_hosted_runners": "write"}},
        ),
    ],
)
def test_policy_of_the_organization_is_named(
    sim: Simulator, connect: Connect, policy: dict[str, Any], kind: str, rights: dict[str, Any]
) -> None:
    auth = token(sim, kind, **rights)
    steer(sim, "PATCH", "organizations/acme", policy)

    verdict = check_credential(connect(auth), ORG)
    assert verdict.code is VerdictCode.ORGANIZATION_POLICY
    assert "acme" in f"{verdict.message} {verdict.fix}"


def test_scope_that_does_not_exist_is_not_found(connect: Connect) -> None:
    verdict = check_credential(connect(), ScopePath.repository("acme/absent"))

    assert verdict.code is VerdictCode.SCOPE_NOT_FOUND


def test_app_verdicts_follow_its_installation(sim: Simulator, connect: Connect) -> None:
    good = {"organization_self_hosted_runners": "write", "metadata": "read", "actions": "read"}
    auth = app(sim, permissions=good)
    client = connect(auth)
    assert check_credential(client, ORG).code is VerdictCode.VALID

    weak = app(sim, name="Weak", permissions={"metadata": "read"})
    assert check_credential(connect(weak), ORG).code is VerdictCode.APP_WITHOUT_PERMISSION
    other = ScopePath.organization("actions")
    assert check_credential(client, other).code is VerdictCode.APP_NOT_INSTALLED

    path = f"/app/installations/{auth.installation_id}/suspended"
    headers = {"Authorization": auth.app_authorization(client.now()), "User-Agent": "tests"}
    requests.put(f"{sim.api_url}{path}", headers=headers, timeout=10).raise_for_status()
    assert check_credential(client, ORG).code is VerdictCode.APP_SUSPENDED


def test_github_away_is_unknown(sim: Simulator, connect: Connect) -> None:
    sim.add_fault(Fault("status", status=503))

    verdict = check_credential(connect(max_wait_seconds=0), ORG)
    assert verdict.code is VerdictCode.UNKNOWN
