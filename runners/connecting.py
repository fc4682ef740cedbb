"""Connect GitHub: a credential and the first scope it speaks for, kept only when GitHub agrees.

Asks GitHub before anything is stored, so that a wrong token never lies about; the caller brings
the client, because nothing here reads settings.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction

from runners import credentials, scopes
from runners.audit import Actor
from runners.credentials import NewCredential
from runners.errors import FleetError
from runners.github.client import GitHubClient
from runners.github.errors import GitHubError
from runners.github.verdicts import Verdict, VerdictCode, check_credential
from runners.models import Credential, Scope
from runners.registry import path_of
from runners.vault import Vault


class CredentialRefused(FleetError):
    """GitHub does not let this credential manage runners there; `fix` says what to do."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"{verdict.message} {verdict.fix}".strip())
        self.code: VerdictCode = verdict.code
        self.message = verdict.message
        self.fix = verdict.fix


@dataclass(frozen=True, slots=True)
class Connection:
    """What was stored, and what GitHub said of it."""

    credential: Credential
    scope: Scope
    verdict: Verdict


def with_installation(new: NewCredential, web_url: str, *, github: GitHubClient) -> NewCredential:
    """The credential, with its App's installation on the scope looked up where none was entered.

    What can't be found stays open: `connect` says why. Raises InvalidRequest for a bad address.
    """
    if new.kind != Credential.Kind.APP or new.installation_id is not None:
        return new
    try:
        found = github.get_installation_for(scopes.read_web_url(web_url)[0])
    except GitHubError:
        return new
    return replace(new, installation_id=found.id)


def connect(
    new: NewCredential,
    web_url: str,
    *,
    github: GitHubClient,
    vault: Vault,
    by: Actor,
    now: datetime,
) -> Connection:
    """Check a new credential on a scope and store both.

    Raises CredentialRefused when GitHub refuses or can't be reached, InvalidRequest for an address
    or a name that is bad or taken. Nothing is stored then.
    """
    verdict = check_credential(github, scopes.read_web_url(web_url)[0])
    if not verdict.usable:
        raise CredentialRefused(verdict)
    with transaction.atomic():
        credential = credentials.create(new, vault=vault, by=by, now=now)
        scope = scopes.add_scope(web_url, credential=credential, by=by, now=now)
        credentials.note_verdict(credential, verdict, by=by, now=now)
    return Connection(credential, scope, verdict)


def add_checked_scope(
    web_url: str,
    *,
    credential: Credential,
    github: GitHubClient,
    runner_group_id: int,
    runner_group_name: str,
    by: Actor,
    now: datetime,
) -> Scope:
    """Check a stored credential on another scope and add that. Raises as `connect` does."""
    verdict = check_credential(github, scopes.read_web_url(web_url)[0])
    if not verdict.usable:
        raise CredentialRefused(verdict)
    return scopes.add_scope(
        web_url,
        credential=credential,
        by=by,
        now=now,
        runner_group_id=runner_group_id,
        runner_group_name=runner_group_name,
    )


def check_now(
    credential: Credential, *, github: GitHubClient, by: Actor, now: datetime
) -> Verdict | None:
    """Ask GitHub what a credential is worth on each of its scopes and note the worst answer.

    None, and nothing noted, for a credential that no scope uses.
    """
    verdicts = [check_credential(github, path_of(scope)) for scope in credential.scopes.all()]
    if not verdicts:
        return None
    worst = max(verdicts, key=lambda verdict: verdict.severity)
    credentials.note_verdict(credential, worst, by=by, now=now)
    return worst


def free_name(wish: str) -> str:
    """Return `wish`, or with a number behind it when a credential has that name already."""
    name, number = wish, 1
    while Credential.objects.filter(name=name).exists():
        number += 1
        name = f"{wish}-{number}"
    return name
