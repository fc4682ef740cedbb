"""Members: who may sign in and in which role; every change with its event.

Passwords are never set here: a new member, or one who lost theirs, gets a one-time link.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction

from runners import audit
from runners.access import Role, grant_role, role_of
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.models import Event


def create(username: str, email: str, role: Role, *, by: Actor, now: datetime) -> User:
    """Make a member who can't sign in until they set a password by link."""
    user = User(username=username, email=email)
    user.set_unusable_password()
    try:
        user.full_clean()
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages)) from error
    with transaction.atomic():
        user.save()
        grant_role(user, role)
        audit.record(user, "user.create", by=by, at=now, became=role.value)
    return user


def set_role(user: User, role: Role, *, by: Actor, now: datetime) -> Event | None:
    """Give a member another role; None when they had it. Refuses to take the last admin away."""
    was = role_of(user)
    if was == role:
        return None
    if was == Role.ADMIN:
        _keep_an_admin(user)
    with transaction.atomic():
        grant_role(user, role)
        return audit.record(
            user, "user.role", by=by, at=now, was=was.value if was else "", became=role.value
        )


def set_active(user: User, active: bool, *, by: Actor, now: datetime) -> Event | None:
    """Let a member sign in or not, from the next request on; None when that was so already."""
    if user.is_active == active:
        return None
    if not active and role_of(user) == Role.ADMIN:
        _keep_an_admin(user)
    with transaction.atomic():
        user.is_active = active
        user.save(update_fields=["is_active"])
        action = "user.activate" if active else "user.deactivate"
        return audit.record(user, action, by=by, at=now, became="active" if active else "off")


def note_link(user: User, *, by: Actor, now: datetime) -> Event:
    """Record that a link to set a password was made; the link itself is kept nowhere."""
    return audit.record(user, "user.link", by=by, at=now)


def _keep_an_admin(leaving: User) -> None:
    others = User.objects.filter(is_active=True).exclude(pk=leaving.pk)
    if any(role_of(user) == Role.ADMIN for user in others.prefetch_related("groups")):
        return
    raise InvalidRequest(
        f"{leaving.username} is the last admin. Make somebody else an admin first."
    )
