"""The three places runners belong to, as path patterns and as scopes. Reads records only."""

from __future__ import annotations

from dataclasses import dataclass

from runners.simulator.routing import Access, Call
from runners.simulator.wire import not_found
from runners.simulator.world import World


@dataclass(frozen=True)
class ScopePattern:
    """A path prefix and the permission that governs runners below it."""

    prefix: str
    permission: str

    def reads(self) -> Access:
        """Access to a reading operation."""
        return Access("token", self.permission, "read")

    def writes(self) -> Access:
        """Access to a changing operation."""
        return Access("token", self.permission, "write")


REPOSITORY = ScopePattern("/repos/{owner}/{repo}", "administration")
ORGANIZATION = ScopePattern("/orgs/{org}", "organization_self_hosted_runners")
ENTERPRISE = ScopePattern("/enterprises/{enterprise}", "enterprise_runners")
EVERY_SCOPE = (REPOSITORY, ORGANIZATION, ENTERPRISE)


def scope_of(call: Call) -> str:
    """The scope a call's path names."""
    params = call.params
    if "owner" in params:
        return f"repos/{params['owner']}/{params['repo']}".lower()
    if "org" in params:
        return f"orgs/{params['org']}".lower()
    return f"enterprises/{params['enterprise']}".lower()


def scope_of_url(world: World, url: str) -> str:
    """The scope of a web address such as ``http://host/acme/web``. Raises 404."""
    path = url.split("://", 1)[-1].partition("/")[2].strip("/").lower()
    known = [f"repos/{path}", f"orgs/{path}", path]
    for scope in known:
        if scope in world.store.groups:
            return scope
    raise not_found()
