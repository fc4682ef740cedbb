"""Settings: the members, their roles, and the one-time links by which they set a password."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_cache_control
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from runners import members
from runners.access import Role
from runners.errors import FleetError
from runners.forms.settings import ROLES, MemberForm, RoleForm
from runners.views.guard import role_required
from runners.views.shared import Context, FleetRequest, actor, refuse, respond

_LIST: Final = "settings/_members.html"
# What each role may do, as the page explains it: the words, then viewer, operator, admin.
_RIGHTS: Final = (
    ("See hosts, runners, jobs, pools and the audit log", True, True, True),
    ("Provision, drain and deregister runners", False, True, True),
    ("Add, cordon, drain and retire hosts", False, True, True),
    ("Change pools", False, False, True),
    ("Change scopes, credentials and members", False, False, True),
)


@dataclass(frozen=True, slots=True)
class MemberRow:
    """One member; `role` "" for somebody who may sign in and see nothing."""

    user: User
    role: str
    role_word: str
    is_self: bool


@role_required("admin")
@require_GET
def member_list(request: FleetRequest) -> HttpResponse:
    return render(request, "settings/member_list.html", _list_context(request))


@role_required("admin")
@require_http_methods(["GET", "POST"])
def member_new(request: FleetRequest) -> HttpResponse:
    form = MemberForm(request.POST if request.method == "POST" else None)
    status = 422 if form.is_bound else 200
    if form.is_valid():
        cleaned = form.cleaned_data
        try:
            user = members.create(
                cleaned["username"],
                cleaned["email"],
                Role(cleaned["role"]),
                by=actor(request),
                now=timezone.now(),
            )
        except FleetError as error:
            form.add_error("username", error.user_message)
        else:
            return _show_link(request, user)
    return render(request, "settings/member_new.html", {"form": form}, status=status)


@role_required("admin")
@require_POST
def member_role(request: FleetRequest, pk: int) -> HttpResponse:
    user = _get_member_for_user(request, pk)
    form = RoleForm(request.POST)
    if not form.is_valid():
        context = {**_list_context(request), "problem": "Choose one of the four roles."}
        return render(request, "settings/member_list.html", context, status=422)
    role = Role(form.cleaned_data["role"])
    try:
        members.set_role(user, role, by=actor(request), now=timezone.now())
    except FleetError as error:
        return _refused(request, error)
    return _done(request, f"{user.username} is {role.label.lower()} now.")


@role_required("admin")
@require_POST
def member_deactivate(request: FleetRequest, pk: int) -> HttpResponse:
    user = _get_member_for_user(request, pk)
    try:
        members.set_active(user, False, by=actor(request), now=timezone.now())
    except FleetError as error:
        return _refused(request, error)
    undo_url = reverse("member-activate", args=[pk])
    return _done(request, f"{user.username} can't sign in any more.", undo_url)


@role_required("admin")
@require_POST
def member_activate(request: FleetRequest, pk: int) -> HttpResponse:
    user = _get_member_for_user(request, pk)
    members.set_active(user, True, by=actor(request), now=timezone.now())
    return _done(request, f"{user.username} can sign in again.")


@role_required("admin")
@require_POST
def member_link(request: FleetRequest, pk: int) -> HttpResponse:
    user = _get_member_for_user(request, pk)
    members.note_link(user, by=actor(request), now=timezone.now())
    return _show_link(request, user)


def _show_link(request: FleetRequest, user: User) -> HttpResponse:
    """Show the link in this one answer; it works until it was used, or runs out by itself."""
    context = {
        "member": user,
        "link": members.password_link(user),
        "days": settings.PASSWORD_RESET_TIMEOUT // 86_400,
    }
    response = render(request, "settings/member_link.html", context)
    patch_cache_control(response, no_store=True)
    return response


def _get_member_for_user(request: FleetRequest, pk: int) -> User:
    """Only admins get this far, and they see everybody."""
    return get_object_or_404(User, pk=pk)


def _list_context(request: FleetRequest) -> Context:
    users = User.objects.order_by("-is_active", "username").prefetch_related("groups")
    return {
        "now": timezone.now(),
        "rows": [_row(user, request.user) for user in users],
        "roles": ROLES,
        "rights": _RIGHTS,
    }


def _row(user: User, viewer: User) -> MemberRow:
    role = _role_of_loaded(user)
    word = "Admin (superuser)" if user.is_superuser else role.label if role else "No role"
    return MemberRow(user, role.value if role else "", word, user.pk == viewer.pk)


def _role_of_loaded(user: User) -> Role | None:
    """The role from the groups loaded with the list, so that no row runs a query."""
    if user.is_superuser:
        return Role.ADMIN
    names = {group.name for group in user.groups.all()}
    held = [role for role in Role if role.value in names]
    return held[-1] if held else None


def _done(request: FleetRequest, said: str, undo_url: str = "") -> HttpResponse:
    return respond(
        request,
        _LIST,
        reverse("member-list"),
        lambda: _list_context(request),
        said=said,
        undo_url=undo_url,
    )


def _refused(request: FleetRequest, error: FleetError) -> HttpResponse:
    url = reverse("member-list")
    return refuse(request, _LIST, url, lambda: _list_context(request), error)
