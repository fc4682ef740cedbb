"""Who may do what: four roles, held as Django groups of the same names.

Knows users, never requests nor the fleet; the guard of the pages is `runners.views.guard`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User


class Role(StrEnum):
    """A group's name; operators may do what viewers may, admins what operators may."""

    VIEWER = "viewer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def label(self) -> str:
        return self.value.capitalize()


def make_roles(**kwargs: object) -> None:
    """Make the four groups where they are missing; told by Django after migrations."""
    for role in Role:
        Group.objects.get_or_create(name=role.value)


# An auditor sees the pages as a viewer does, and Django admin besides.
_RANK: Final[dict[Role, int]] = {Role.VIEWER: 0, Role.AUDITOR: 0, Role.OPERATOR: 1, Role.ADMIN: 2}
_CACHE: Final = "_fleet_role"


def role_of(user: AbstractBaseUser | AnonymousUser) -> Role | None:
    """Return the strongest role of `user`, None for nobody's; one query, remembered on the user."""
    if not isinstance(user, User) or not user.is_active:
        return None
    if not hasattr(user, _CACHE):
        setattr(user, _CACHE, _role_from_database(user))
    role: Role | None = getattr(user, _CACHE)
    return role


def _role_from_database(user: User) -> Role | None:
    if user.is_superuser:
        return Role.ADMIN
    names = set(user.groups.filter(name__in=list(Role)).values_list("name", flat=True))
    held = [role for role in Role if role in names]
    return max(held, key=lambda role: _RANK[role], default=None)


def may(user: AbstractBaseUser | AnonymousUser, needed: Role) -> bool:
    """Whether `user` may do what `needed` may."""
    role = role_of(user)
    return role is not None and _RANK[role] >= _RANK[needed]


def grant_role(user: User, role: Role) -> None:
    """Give `user` this role instead of any other; an auditor may also open Django admin."""
    user.groups.remove(*user.groups.filter(name__in=list(Role)))
    user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    staff = user.is_superuser or role in (Role.AUDITOR, Role.ADMIN)
    if user.is_staff != staff:
        user.is_staff = staff
        user.save(update_fields=["is_staff"])
    if hasattr(user, _CACHE):
        delattr(user, _CACHE)
