"""Every address against every role: one without a rule here fails, so that none is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.factories import (
    AnnouncedWindowFactory,
    CredentialFactory,
    DeliveryFactory,
    DriftFactory,
    EnrolmentCodeFactory,
    HostFactory,
    JobFactory,
    MaintenanceFactory,
    MaintenanceHostFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
    UserFactory,
)
from tests.fakes import FakeGitHub
from tests.views.conftest import HTMX

pytestmark = pytest.mark.django_db

ROLES = ("viewer", "auditor", "operator", "admin")
READERS = frozenset(ROLES)
OPERATORS = frozenset({"operator", "admin"})
ADMINS = frozenset({"admin"})


@dataclass(frozen=True)
class Rule:
    """Who gets through, by which verbs, and what the address is about."""

    allowed: frozenset[str]
    verbs: tuple[str, ...]
    about: str = ""


READ, ASK, ACT = ("get",), ("get", "post"), ("post",)
RULES = {
    "overview": Rule(READERS, READ),
    "setup": Rule(OPERATORS, READ),
    "setup-github": Rule(ADMINS, ACT),
    "runner-list": Rule(READERS, READ),
    "runner-detail": Rule(READERS, READ, "runner"),
    "runner-log": Rule(READERS, READ, "runner"),
    "runner-bulk": Rule(OPERATORS, ACT),
    "runner-provision": Rule(OPERATORS, ASK),
    "runner-preview": Rule(OPERATORS, READ),
    "runner-drain": Rule(OPERATORS, ASK, "runner"),
    "runner-stop-drain": Rule(OPERATORS, ACT, "runner"),
    "runner-release": Rule(OPERATORS, ACT, "runner"),
    "runner-deregister": Rule(OPERATORS, ASK, "runner"),
    "runner-labels": Rule(OPERATORS, ASK, "runner"),
    "host-list": Rule(READERS, READ),
    "host-bulk": Rule(OPERATORS, ACT),
    "host-new": Rule(OPERATORS, ASK),
    "host-detail": Rule(READERS, READ, "host"),
    "host-cordon": Rule(OPERATORS, ACT, "host"),
    "host-uncordon": Rule(OPERATORS, ACT, "host"),
    "host-release": Rule(OPERATORS, ACT, "host"),
    "host-drain": Rule(OPERATORS, ASK, "host"),
    "host-slots": Rule(OPERATORS, ASK, "host"),
    "host-rotate-token": Rule(OPERATORS, ASK, "host"),
    "host-retire": Rule(OPERATORS, ASK, "host"),
    "maintenance-list": Rule(READERS, READ),
    "maintenance-new": Rule(OPERATORS, ASK),
    "maintenance-detail": Rule(READERS, READ, "round"),
    "maintenance-pause": Rule(OPERATORS, ACT, "round"),
    "maintenance-resume": Rule(OPERATORS, ACT, "round"),
    "maintenance-stop": Rule(OPERATORS, ASK, "round"),
    "maintenance-done": Rule(OPERATORS, ACT, "turn"),
    "maintenance-skip": Rule(OPERATORS, ACT, "turn"),
    "drift-list": Rule(READERS, READ),
    "drift-fix": Rule(OPERATORS, ASK),
    "drift-auto": Rule(ADMINS, ACT),
    "drift-ghosts": Rule(OPERATORS, ASK),
    "drift-adopt": Rule(OPERATORS, ASK, "drift"),
    "countdown-list": Rule(READERS, READ),
    "fleet-quiesce": Rule(OPERATORS, ASK),
    "fleet-resume": Rule(OPERATORS, ACT),
    "pool-list": Rule(READERS, READ),
    "pool-new": Rule(ADMINS, ASK),
    "pool-new-preview": Rule(ADMINS, ACT),
    "pool-detail": Rule(READERS, READ, "pool"),
    "pool-edit": Rule(ADMINS, ASK, "pool"),
    "pool-preview": Rule(ADMINS, ACT, "pool"),
    "pool-more": Rule(OPERATORS, ACT, "pool"),
    "pool-pause": Rule(ADMINS, ASK, "pool"),
    "pool-resume": Rule(ADMINS, ACT, "pool"),
    "pool-release": Rule(OPERATORS, ACT, "pool"),
    "pool-remove": Rule(ADMINS, ASK, "pool"),
    "job-list": Rule(READERS, READ),
    "job-queue": Rule(READERS, READ),
    "label-coverage": Rule(READERS, READ),
    "decision-list": Rule(READERS, READ),
    "job-detail": Rule(READERS, READ, "job"),
    "report-month": Rule(READERS, READ),
    "report-prices": Rule(ADMINS, ASK),
    "report-host-price": Rule(ADMINS, ASK, "host"),
    "report-repository": Rule(ADMINS, ASK),
    "report-history": Rule(READERS, READ),
    "report-targets": Rule(READERS, READ),
    "report-target-pool": Rule(ADMINS, ASK, "pool"),
    "report-target-labels": Rule(ADMINS, ASK),
    "report-window-new": Rule(OPERATORS, ASK),
    "report-window-call-off": Rule(OPERATORS, ACT, "window"),
    "event-list": Rule(READERS, READ),
    "settings": Rule(READERS, READ),
    "scope-list": Rule(READERS, READ),
    "scope-detail": Rule(READERS, READ, "scope"),
    "scope-new": Rule(ADMINS, ASK),
    "scope-remove": Rule(ADMINS, ASK, "scope"),
    "scope-group": Rule(ADMINS, ASK, "scope"),
    "scope-webhook": Rule(ADMINS, ASK, "scope"),
    "scope-webhook-remove": Rule(ADMINS, ASK, "scope"),
    "scope-webhook-forget": Rule(ADMINS, ASK, "scope"),
    "scope-jobs": Rule(ADMINS, ASK, "scope"),
    "delivery-list": Rule(READERS, READ),
    "delivery-detail": Rule(READERS, READ, "delivery"),
    "delivery-redeliver": Rule(OPERATORS, ASK, "delivery"),
    "credential-list": Rule(ADMINS, READ),
    "credential-new": Rule(ADMINS, ASK),
    "credential-replace": Rule(ADMINS, ASK, "credential"),
    "credential-replace-by": Rule(ADMINS, ASK, "credential"),
    "credential-remove": Rule(ADMINS, ASK, "credential"),
    "credential-check": Rule(ADMINS, ACT, "credential"),
    "code-list": Rule(OPERATORS, READ),
    "doctor": Rule(OPERATORS, READ),
    "code-wait": Rule(OPERATORS, READ, "code"),
    "code-revoke": Rule(OPERATORS, ACT, "code"),
    "member-list": Rule(ADMINS, READ),
    "member-new": Rule(ADMINS, ASK),
    "member-role": Rule(ADMINS, ACT, "member"),
    "member-link": Rule(ADMINS, ACT, "member"),
    "member-deactivate": Rule(ADMINS, ACT, "member"),
    "member-activate": Rule(ADMINS, ACT, "member"),
    "environment": Rule(ADMINS, READ),
}
# No person is behind these, or nobody yet: probes, agents' tokens, signed webhooks, signing in.
WITHOUT_ROLE = frozenset({"healthz", "readyz", "login", "logout", "metrics", "password-set"})
WITHOUT_ROLE_PREFIXES = ("agent-", "webhook-")

MAKERS = {
    "runner": lambda: RunnerFactory().pk,
    "host": lambda: HostFactory().name,
    "pool": lambda: PoolFactory().name,
    "job": lambda: JobFactory().pk,
    "scope": lambda: ScopeFactory().pk,
    "credential": lambda: CredentialFactory().pk,
    "code": lambda: EnrolmentCodeFactory().pk,
    "member": lambda: UserFactory().pk,
    "drift": lambda: DriftFactory().pk,
    "delivery": lambda: DeliveryFactory().pk,
    "round": lambda: MaintenanceFactory().pk,
    "turn": lambda: MaintenanceHostFactory().pk,
    "window": lambda: AnnouncedWindowFactory().pk,
}


def names(patterns: Iterable[URLPattern | URLResolver]) -> Iterable[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns)
        else:
            yield pattern.name or ""


EVERY_NAME = sorted(set(names(get_resolver("runners.urls").url_patterns)))
CALLS = [(name, verb) for name, rule in RULES.items() for verb in rule.verbs]


def address(name: str) -> str:
    about = RULES[name].about
    return reverse(name, args=[MAKERS[about]()]) if about else reverse(name)


@pytest.mark.parametrize("name", EVERY_NAME)
def test_every_address_has_a_rule(name):
    public = name in WITHOUT_ROLE or name.startswith(WITHOUT_ROLE_PREFIXES)

    assert public != (name in RULES), f"say in this file who may open {name}"


def test_no_rule_is_left_from_an_address_that_went():
    assert set(EVERY_NAME) >= RULES.keys() | WITHOUT_ROLE


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(("name", "verb"), CALLS)
def test_a_role_opens_what_it_may_and_nothing_else(sign_in, monkeypatch, name, verb, role):
    monkeypatch.setattr("runners.wiring.client_for", lambda credential: FakeGitHub())
    response = getattr(sign_in(role), verb)(address(name))

    assert (response.status_code != 403) == (role in RULES[name].allowed)


@pytest.mark.parametrize(("name", "verb"), CALLS)
def test_somebody_without_a_role_opens_nothing(sign_in, name, verb):
    assert getattr(sign_in(""), verb)(address(name)).status_code == 403


@pytest.mark.parametrize(("name", "verb"), CALLS)
def test_a_stranger_is_sent_to_sign_in(name, verb):
    response = getattr(Client(), verb)(address(name))

    assert response.status_code == 302
    assert response["Location"].startswith(f"{reverse('login')}?next=")


@pytest.mark.parametrize(("name", "verb"), CALLS)
def test_a_fragment_never_becomes_the_sign_in_page(name, verb):
    response = getattr(Client(), verb)(address(name), headers=HTMX)

    assert response["HX-Redirect"].startswith(reverse("login"))


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if "get" not in rule.verbs])
def test_what_changes_something_is_not_done_by_a_link(sign_in, name):
    assert sign_in("admin").get(address(name)).status_code == 405


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if "post" not in rule.verbs])
def test_what_is_read_takes_no_form(sign_in, name):
    assert sign_in("admin").post(address(name)).status_code == 405


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if "post" in rule.verbs])
def test_a_form_of_another_site_is_refused(name):
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory(role="admin"))

    assert client.post(address(name)).status_code == 403


@pytest.mark.parametrize("name", [name for name, rule in RULES.items() if rule.about])
def test_what_is_not_there_is_a_404(sign_in, name):
    gone = "gone" if RULES[name].about in ("host", "pool") else 999_999

    response = getattr(sign_in("admin"), RULES[name].verbs[0])(reverse(name, args=[gone]))

    assert response.status_code == 404


def test_a_member_who_was_switched_off_is_out_at_once(sign_in):
    client = sign_in("viewer")
    User.objects.update(is_active=False)

    assert client.get(reverse("host-list")).status_code == 302
