"""Members: who may sign in and in which role; every change with its event.

A new member, the first one too, or one who lost their password, gets a one-time link from the
pages; at the command line a password may be set outright.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.db import transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from runners import audit
from runners.access import Role, grant_role, role_of
from runners.audit import Actor
from runners.errors import InvalidRequest
from runners.models import Event

FIRST_ADMIN = "admin"


def nobody_can_sign_in() -> bool:
    """Whether no member has a password: so it is until the first one took up their link."""
    with_password = User.objects.exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return not with_password.filter(is_active=True).exists()


def first_admin(*, by: Actor, now: datetime) -> User | None:
    """The admin a new installation begins with, made when missing; None once one can sign in."""
    if not nobody_can_sign_in():
        return None
    known = User.objects.filter(username=FIRST_ADMIN, is_active=True).first()
    if known is None:
        return create(FIRST_ADMIN, "", Role.ADMIN, by=by, now=now)
    return known if role_of(known) == Role.ADMIN else None


def password_link(user: User) -> str:
    """The address at which `user` sets a password: a secret, good once and for a few days."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    path = reverse("password-set", args=[uid, default_token_generator.make_token(user)])
    return f"{settings.FLEET_BASE_URL}{path}"


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


def set_password(user: User, password: str, *, by: Actor, now: datetime) -> Event:
    """Give a member this password. Raises InvalidRequest, in words that do not repeat it, for a
    weak one."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages)) from error
    with transaction.atomic():
        user.set_password(password)
        user.save(update_fields=["password"])
        return audit.record(user, "user.password", by=by, at=now)


def set_email(user: User, email: str, *, by: Actor, now: datetime) -> Event | None:
    """Note another address; None when it was that one. Raises InvalidRequest for none at all."""
    if user.email == email:
        return None
    user.email = email
    try:
        user.full_clean(exclude=["password"])
    except ValidationError as error:
        raise InvalidRequest(" ".join(error.messages)) from error
    with transaction.atomic():
        user.save(update_fields=["email"])
        return audit.record(user, "user.change", by=by, at=now, detail={"email": True})


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
