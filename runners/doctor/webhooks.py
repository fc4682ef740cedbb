"""The one check that asks GitHub: whether it could deliver what it sent last."""

from __future__ import annotations

from typing import Protocol

from runners.doctor.finding import Finding, Verdict
from runners.github.errors import Forbidden, GitHubError, NotFound
from runners.github.types import Delivery, Listing, Webhook
from runners.github.urls import ScopePath
from runners.models import Scope
from runners.registry import path_of

LOOK_AT = 20


class HookRegistry(Protocol):
    """GitHub's webhooks of a scope; every call may raise a GitHubError."""

    def list_webhooks(self, scope: ScopePath) -> Listing[Webhook]:
        """All webhooks of the scope."""

    def list_webhook_deliveries(
        self,
        scope: ScopePath,
        hook_id: int,
        *,
        status: str | None = None,
        max_items: int | None = None,
    ) -> Listing[Delivery]:
        """Its last deliveries, newest first."""


def deliveries(scope: Scope, *, github: HookRegistry, base_url: str) -> Finding:
    """How GitHub's last deliveries to us ended, where the credential may look."""
    name = f"deliveries {scope.slug}"
    if scope.kind == Scope.Kind.ENTERPRISE:
        return Finding(name, Verdict.UNKNOWN, "GitHub tells nobody of an enterprise's webhooks")
    path = path_of(scope)
    try:
        ours = [hook for hook in github.list_webhooks(path) if hook.config.url.startswith(base_url)]
        if not ours:
            said = f"No webhook there leads to {base_url}"
            if not scope.webhook_secret_encrypted:
                return Finding(name, Verdict.OK, said)
            return Finding(name, Verdict.WARN, said, "Add it at GitHub, as the scope's page says.")
        last = list(github.list_webhook_deliveries(path, ours[0].id, max_items=LOOK_AT))[:LOOK_AT]
    except (Forbidden, NotFound):
        return Finding(name, Verdict.UNKNOWN, "The credential may not look at webhooks")
    except GitHubError as error:
        return Finding(name, Verdict.UNKNOWN, error.user_message)
    if not ours[0].active:
        return Finding(name, Verdict.BAD, "The webhook is switched off", "Switch it on at GitHub.")
    failed = [each for each in last if not each.ok]
    seen = f"{len(last) - len(failed)} of the last {len(last)} arrived"
    if not last or last[0].ok:
        return Finding(name, Verdict.OK, seen)
    return Finding(
        name,
        Verdict.BAD,
        f"{seen}; the newest ended with {last[0].status_code} {last[0].status}",
        f"GitHub must reach {base_url}: check name, TLS, firewall and the webhook's secret.",
    )
