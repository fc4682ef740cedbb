"""What a credential is good for on one scope: a verdict with its reason and its fix.

Asks GitHub a few questions, the last of them for a registration token, which is thrown away: only
that proves the permission to register runners. Unreachable is "unknown", never "invalid".
Source: GitHub Docs "Managing your personal access tokens", "Troubleshooting the REST API",
"Authorizing a personal access token for use with single sign-on".
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .auth import AppAuth, CredentialKind
from .client import GitHubClient
from .errors import BadCredential, Forbidden, GitHubError, NotFound, Unauthorized
from .needs import (
    JOBS_PERMISSION,
    JOBS_PERMISSION_WORDS,
    NEEDS,
    Need,
    beyond_need,
    grants,
)
from .types.account import AuthenticatedUser
from .types.apps import App, Installation
from .urls import ScopeKind, ScopePath, web_base_url

EXPIRING_WITHIN = timedelta(days=14)
CLOCK_OFF_SECONDS = 60.0
_POLICY_WORDS = (
    "saml",
    "single sign-on",
    "forbids access via",
    "personal access tokens (classic)",
    "fine-grained personal access token",
    "ip allow list",
    "access restrictions",
    "token's lifetime",
)


class VerdictCode(StrEnum):
    """The verdicts, from good to bad."""

    VALID = "valid"
    TOO_BROAD = "too-broad"
    JOBS_UNSEEN = "jobs-unseen"
    EXPIRING = "expiring"
    UNKNOWN = "unknown"
    SCOPE_NOT_FOUND = "scope-not-found"
    WRONG_SCOPE = "wrong-scope"
    ORGANIZATION_POLICY = "organization-policy"
    APP_WITHOUT_PERMISSION = "app-without-permission"
    APP_NOT_INSTALLED = "app-not-installed"
    APP_SUSPENDED = "app-suspended"
    INVALID = "invalid"


USABLE = frozenset(
    {VerdictCode.VALID, VerdictCode.TOO_BROAD, VerdictCode.JOBS_UNSEEN, VerdictCode.EXPIRING}
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `message` says it, `fix` says what to do ("" when nothing is).

    `seen` are the token's scopes or the App's permissions ("administration: write"), and None when
    GitHub does not tell. `warnings` are less urgent verdicts that hold as well.
    """

    code: VerdictCode
    message: str
    fix: str = ""
    kind: CredentialKind = CredentialKind.UNKNOWN
    expires_at: datetime | None = None
    seen: tuple[str, ...] | None = None
    warnings: tuple[VerdictCode, ...] = ()
    login: str = ""
    request_id: str = field(default="", compare=False)

    @property
    def usable(self) -> bool:
        """Whether runners can be managed with it now."""
        return self.code in USABLE

    @property
    def severity(self) -> int:
        """How bad it is; 0 is good."""
        return list(VerdictCode).index(self.code)


def check_credential(client: GitHubClient, scope: ScopePath) -> Verdict:
    """Find out whether the client's credential can manage the runners of `scope`.

    Raises nothing of GitHub's: what cannot be found out is `UNKNOWN`.
    """
    auth = client.auth
    if auth is None:
        return Verdict(
            VerdictCode.INVALID, "There is no credential.", "Enter a token or a GitHub App."
        )
    try:
        if isinstance(auth, AppAuth):
            verdict = _check_app(client, auth, scope)
        else:
            verdict = _check_token(client, auth.kind, scope)
    except GitHubError as err:
        verdict = _of_error(err, scope, client)
    return _with_expiry(replace(verdict, kind=auth.kind), client.now())


# Tokens.


def _check_token(client: GitHubClient, kind: CredentialKind, scope: ScopePath) -> Verdict:
    need = NEEDS[scope.kind]
    if scope.kind is ScopeKind.ENTERPRISE and kind is not CredentialKind.CLASSIC:
        return _enterprise_needs_classic(kind)
    user = None
    if kind is not CredentialKind.INSTALLATION:
        user = client.get_authenticated_user()
        lacking = _lacking_scope(user, need, scope)
        if lacking is not None:
            return _with_user(lacking, user)
    try:
        client.create_registration_token(scope)
    except (NotFound, Forbidden) as err:
        return _with_user(_refused(err, client, scope), user)
    return _good(user, need)


def _with_user(verdict: Verdict, user: AuthenticatedUser | None) -> Verdict:
    if user is None:
        return verdict
    return replace(
        verdict, expires_at=user.token_expires_at, seen=user.token_scopes, login=user.login
    )


def _lacking_scope(user: AuthenticatedUser, need: Need, scope: ScopePath) -> Verdict | None:
    """The verdict on a classic token whose scopes cannot do; fine-grained ones tell none."""
    if user.token_scopes is None or set(need.classic_scopes) & set(user.token_scopes):
        return None
    has = ", ".join(user.token_scopes) or "no scopes at all"
    return Verdict(
        VerdictCode.WRONG_SCOPE,
        f'The token lacks the scope "{need.classic_scopes[0]}" for {scope}; it has {has}.',
        f'Make a new token with "{need.classic_scopes[0]}", or connect a GitHub App.',
    )


def _good(user: AuthenticatedUser | None, need: Need) -> Verdict:
    verdict = _with_user(Verdict(VerdictCode.VALID, "The token can manage runners here."), user)
    extra = sorted(set(verdict.seen or ()) - need.fitting_classic_scopes)
    if extra:
        verdict = replace(
            verdict,
            code=VerdictCode.TOO_BROAD,
            message=f"The token can manage runners here, and far more: {', '.join(extra)}.",
            fix=f"Replace it by a GitHub App or a token with only the {need.permission_words}.",
        )
    return verdict


def _enterprise_needs_classic(kind: CredentialKind) -> Verdict:
    return Verdict(
        VerdictCode.WRONG_SCOPE,
        f"GitHub does not let a {kind} manage the runners of an enterprise.",
        'Use a classic personal access token with the scope "manage_runners:enterprise", or '
        "register the runners with an organization.",
    )


# GitHub Apps.


def _check_app(client: GitHubClient, auth: AppAuth, scope: ScopePath) -> Verdict:
    if scope.kind is ScopeKind.ENTERPRISE:
        return _enterprise_needs_classic(auth.kind)
    try:
        app = client.get_authenticated_app()
    except (Unauthorized, NotFound) as err:
        return _app_unknown(err, client.clock_skew_seconds)
    installation = _installation_of(client, auth, scope)
    if isinstance(installation, Verdict):
        return installation
    seen = tuple(sorted(f"{name}: {level}" for name, level in installation.permissions.items()))
    verdict = _judge_installation(app, installation, client, scope)
    return replace(verdict, seen=seen, login=app.slug)


def _app_unknown(err: GitHubError, clock_skew_seconds: float) -> Verdict:
    if abs(clock_skew_seconds) > CLOCK_OFF_SECONDS:
        return Verdict(
            VerdictCode.INVALID,
            f"GitHub refuses the App's signature; this machine's clock differs from GitHub's by "
            f"{abs(clock_skew_seconds):.0f} s.",
            "Set the clock (NTP), then check again.",
            request_id=err.request_id,
        )
    return Verdict(
        VerdictCode.INVALID,
        "GitHub does not know this App with this private key: key and ID do not belong together, "
        "or the key was deleted.",
        "Make a new private key on the App's page and enter it with the App's client ID.",
        request_id=err.request_id,
    )


def _installation_of(
    client: GitHubClient, auth: AppAuth, scope: ScopePath
) -> Installation | Verdict:
    """The installation that covers the scope, or the verdict that there is none."""
    try:
        covering = client.get_installation_for(scope)
    except NotFound:
        owner = scope.slug.split("/", maxsplit=1)[0]
        return Verdict(
            VerdictCode.APP_NOT_INSTALLED,
            f"The GitHub App is not installed on {scope}.",
            f"Install it on {owner} (App page, Install App), with access to the repository where "
            "it is one.",
        )
    if auth.installation_id not in {None, covering.id}:
        return Verdict(
            VerdictCode.APP_NOT_INSTALLED,
            f"Installation {auth.installation_id} does not cover {scope}; {covering.id} does.",
            f"Enter {covering.id} as the installation ID.",
        )
    return covering


def _judge_installation(
    app: App, installation: Installation, client: GitHubClient, scope: ScopePath
) -> Verdict:
    need = NEEDS[scope.kind]
    if installation.suspended_at is not None:
        return Verdict(
            VerdictCode.APP_SUSPENDED,
            f"The GitHub App's installation on {installation.account} is suspended since "
            f"{installation.suspended_at:%Y-%m-%d}.",
            f"Unsuspend it: {installation.html_url}",
        )
    if not grants(installation.permissions, need.permission, "write"):
        return _app_lacks(app, installation, need)
    try:
        client.create_registration_token(scope)
    except (NotFound, Forbidden) as err:
        return _refused(err, client, scope)
    extra = beyond_need(installation.permissions, need)
    if not grants(installation.permissions, JOBS_PERMISSION, "read"):
        return _app_sees_no_jobs(app, installation, too_broad=bool(extra))
    if extra:
        return Verdict(
            VerdictCode.TOO_BROAD,
            f"The GitHub App can manage runners here, and change more: {', '.join(extra)}.",
            "Take the permissions that are not needed off the App.",
        )
    return Verdict(VerdictCode.VALID, "The GitHub App can manage runners here.")


def _app_sees_no_jobs(app: App, installation: Installation, *, too_broad: bool) -> Verdict:
    if grants(app.permissions, JOBS_PERMISSION, "read"):
        fix = f"An owner accepts the App's new permission here: {installation.html_url}"
    else:
        fix = (
            f"Add the {JOBS_PERMISSION_WORDS} on the App's page (Permissions & events), then "
            "accept it on the installation."
        )
    return Verdict(
        VerdictCode.JOBS_UNSEEN,
        "The GitHub App can manage runners here, but not read jobs: it lacks the "
        f"{JOBS_PERMISSION_WORDS}, so waiting and running jobs are known by webhook only.",
        fix,
        warnings=(VerdictCode.TOO_BROAD,) if too_broad else (),
    )


def _app_lacks(app: App, installation: Installation, need: Need) -> Verdict:
    if grants(app.permissions, need.permission, "write"):
        return Verdict(
            VerdictCode.APP_WITHOUT_PERMISSION,
            f"{installation.account} has not accepted the App's new permission yet: "
            f"{need.permission_words}.",
            f"An owner accepts it here: {installation.html_url}",
        )
    return Verdict(
        VerdictCode.APP_WITHOUT_PERMISSION,
        f"The GitHub App lacks the {need.permission_words}.",
        "Add it on the App's page (Permissions & events), then accept it on the installation.",
    )


# Refusals.


def _refused(err: NotFound | Forbidden, client: GitHubClient, scope: ScopePath) -> Verdict:
    """Tell missing permission, policy and a scope that is not there from one another."""
    if isinstance(err, Forbidden) and _is_policy(err):
        return _policy(err, scope)
    if isinstance(err, NotFound) and not _is_visible(client, scope):
        return Verdict(
            VerdictCode.SCOPE_NOT_FOUND,
            f"GitHub shows this credential no {scope}: the name is wrong, or it may not see it.",
            "Check the spelling, and give the credential access to it.",
            request_id=err.request_id,
        )
    need = NEEDS[scope.kind]
    accepted = err.accepted_permissions if isinstance(err, Forbidden) else ""
    named = f" (GitHub names {accepted})" if accepted else ""
    return Verdict(
        VerdictCode.WRONG_SCOPE,
        f"The credential sees {scope} but may not manage its runners: it lacks the "
        f"{need.permission_words}{named}, or its owner is no administrator there.",
        f"Give it the {need.permission_words}, or let an administrator make it.",
        request_id=err.request_id,
    )


def _is_visible(client: GitHubClient, scope: ScopePath) -> bool:
    if scope.kind is ScopeKind.ENTERPRISE:
        return False
    try:
        if scope.kind is ScopeKind.REPOSITORY:
            client.get_repository(scope)
        else:
            client.get_organization(scope)
    except (NotFound, Forbidden):
        return False
    return True


def _is_policy(err: Forbidden) -> bool:
    detail = err.detail.lower()
    return bool(err.sso_url) or any(words in detail for words in _POLICY_WORDS)


def _policy(err: Forbidden, scope: ScopePath) -> Verdict:
    owner = scope.slug.split("/", maxsplit=1)[0]
    if err.sso_url:
        fix = f"Authorise the token for single sign-on: {err.sso_url}"
    else:
        fix = (
            f"Ask an owner of {owner} to allow this kind of token "
            "(Settings, Personal access tokens), or connect a GitHub App."
        )
    return Verdict(
        VerdictCode.ORGANIZATION_POLICY,
        f"A policy of {owner} blocks the credential. GitHub says: {err.detail}",
        fix,
        request_id=err.request_id,
    )


def _of_error(err: GitHubError, scope: ScopePath, client: GitHubClient) -> Verdict:
    """The verdict on a check that did not get through."""
    if isinstance(err, Unauthorized):
        return Verdict(
            VerdictCode.INVALID,
            "GitHub does not accept the credential: it is expired, revoked or mistyped.",
            f"Make a new one at {web_base_url(client.base_url)}/settings/tokens and enter it.",
            request_id=err.request_id,
        )
    if isinstance(err, BadCredential):
        return Verdict(VerdictCode.INVALID, err.user_message, "Enter the credential again.")
    if isinstance(err, Forbidden) and "suspended" in err.detail.lower():
        return Verdict(
            VerdictCode.APP_SUSPENDED,
            f"GitHub has suspended the credential. GitHub says: {err.detail}",
            "Unsuspend the App's installation, or the account, on its page at GitHub.",
            request_id=err.request_id,
        )
    if isinstance(err, Forbidden):
        return _refused(err, client, scope)
    return Verdict(
        VerdictCode.UNKNOWN,
        f"The credential could not be checked. {err.user_message}",
        "Nothing to do now: it is checked again.",
        request_id=err.request_id,
    )


def _with_expiry(verdict: Verdict, now: datetime) -> Verdict:
    """Turn a usable verdict into `EXPIRING` when the credential dies within 14 days."""
    if not verdict.usable or verdict.expires_at is None:
        return verdict
    if verdict.expires_at - now > EXPIRING_WITHIN:
        return verdict
    warnings = () if verdict.code is VerdictCode.VALID else (verdict.code, *verdict.warnings)
    fix = "Make a new one now and replace it under Settings."
    return replace(
        verdict,
        code=VerdictCode.EXPIRING,
        message=f"{verdict.message} It expires on {verdict.expires_at:%Y-%m-%d}.",
        fix=f"{fix} {verdict.fix}".strip(),
        warnings=warnings,
    )
