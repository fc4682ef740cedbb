"""Every form that changes something leaves an event that names who asked, whatever its address."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.urls import reverse

from runners import accounts, wiring
from runners.models import Event
from runners.registry import path_of
from tests.factories import (
    NOW,
    AnnouncedWindowFactory,
    CredentialFactory,
    DeliveryFactory,
    DriftFactory,
    EnrolmentCodeFactory,
    HostFactory,
    MaintenanceFactory,
    MaintenanceHostFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
    UserFactory,
)
from tests.fakes import FakeGitHub
from tests.views.pool_fields import pool_fields
from tests.views.test_deliveries_pages import listed
from tests.views.test_roles import RULES

pytestmark = pytest.mark.django_db

TOKEN = f"ghp_{'s' * 36}"
Fields = dict[str, object]


@dataclass
class Case:
    """What the address is about, and what is sent there."""

    about: str | int = ""
    fields: Fields | None = None
    before: str = ""
    """An address to post the same to first, so that there is something to undo."""


def changed_pool() -> Case:
    pool = PoolFactory()
    return Case(pool.name, pool_fields(pool.scope, name=pool.name, min_idle="3"))


def rates() -> Fields:
    model = accounts.rates_of(accounts.cost_model())
    form: Fields = {"per_kwh": "0.31", "charge_per_minute": "0"}
    form |= {f"sku:{price.sku}": str(price.per_minute) for price in model.prices}
    return form | {f"cloud:{name}": str(each) for name, each in model.cloud_per_core_hour.items()}


def redeliverable(github: FakeGitHub) -> Case:
    delivery = DeliveryFactory()
    path = path_of(delivery.scope)
    hook = github.create_webhook(path, url="https://fleet.example.com/", secret="s", events=["*"])
    type(delivery).objects.update(hook_id=str(hook.id))
    github.add_delivery(path, hook.id, listed(delivery.guid))
    return Case(delivery.pk)


CASES: dict[str, Callable[[FakeGitHub], Case]] = {
    "setup-github": lambda _: Case(
        fields={"web_url": "https://github.com/acme", "kind_choice": "token", "token": TOKEN}
    ),
    "runner-bulk": lambda _: Case(
        fields={"action": "drain", "confirmed": "yes", "ids": [RunnerFactory().pk]}
    ),
    "runner-provision": lambda _: Case(
        fields={
            "scope": HostFactory() and ScopeFactory().pk,
            "labels": "linux",
            "count": "1",
            "lifetime": "ephemeral",
        }
    ),
    "runner-drain": lambda _: Case(RunnerFactory().pk),
    "runner-stop-drain": lambda _: Case(RunnerFactory(draining=True).pk),
    "runner-release": lambda _: Case(RunnerFactory(failed=True, crashes=5, quarantined_at=NOW).pk),
    "runner-deregister": lambda _: Case(RunnerFactory().pk, {"how": "when-done"}),
    "runner-labels": lambda _: Case(RunnerFactory(persistent=True).pk, {"labels": "gpu"}),
    "host-bulk": lambda _: Case(fields={"action": "cordon", "ids": [HostFactory().pk]}),
    "host-new": lambda _: Case(),
    "host-cordon": lambda _: Case(HostFactory().name),
    "host-uncordon": lambda _: Case(HostFactory(cordoned_for_work=True).name),
    "host-release": lambda _: Case(HostFactory(quarantined_at=NOW, consecutive_failures=10).name),
    "host-drain": lambda _: Case(HostFactory().name),
    "host-slots": lambda _: Case(HostFactory().name, {"slots": "6"}),
    "host-rotate-token": lambda _: Case(HostFactory().name),
    "host-retire": lambda _: Case(HostFactory(name="forge-01").name, {"name": "forge-01"}),
    "maintenance-new": lambda _: Case(
        fields={
            "hosts": [HostFactory().pk],
            "act": "confirm",
            "minutes": "30",
            "percent_out": "50",
        }
    ),
    "maintenance-pause": lambda _: Case(MaintenanceFactory().pk),
    "maintenance-resume": lambda _: Case(MaintenanceFactory(state="paused").pk),
    "maintenance-stop": lambda _: Case(MaintenanceFactory().pk),
    "maintenance-done": lambda _: Case(
        MaintenanceHostFactory(host=HostFactory(cordoned_for_work=True), step="acting").pk
    ),
    "maintenance-skip": lambda _: Case(MaintenanceHostFactory().pk),
    "drift-fix": lambda _: Case(fields={"ids": [DriftFactory().pk], "confirmed": "yes"}),
    "drift-auto": lambda _: Case(fields={"kinds": ["wrong-version"]}),
    "drift-ghosts": lambda _: Case(fields={"ids": [DriftFactory().pk], "confirmed": "yes"}),
    "drift-adopt": lambda _: Case(DriftFactory(foreign=True).pk),
    "fleet-quiesce": lambda _: Case(),
    "fleet-resume": lambda _: Case(before="fleet-quiesce"),
    "pool-new": lambda _: Case(fields=pool_fields(ScopeFactory())),
    "pool-edit": lambda _: changed_pool(),
    "pool-more": lambda _: Case((HostFactory(), PoolFactory())[1].name),
    "pool-pause": lambda _: Case(PoolFactory().name),
    "pool-resume": lambda _: Case(PoolFactory(paused_at=NOW, paused_reason="Driver").name),
    "pool-release": lambda _: Case(PoolFactory(quarantined_at=NOW).name),
    "pool-remove": lambda _: Case(PoolFactory().name),
    "report-prices": lambda _: Case(fields=rates()),
    "report-host-price": lambda _: Case(
        HostFactory().name,
        {
            "purchase": "3600",
            "months": "36",
            "watts_idle": "100",
            "watts_busy": "200",
            "rack_a_month": "20",
            "hands_a_month": "0",
        },
    ),
    "report-repository": lambda _: Case(fields={"name": "acme/web", "team": "web", "public": "on"}),
    "report-target-pool": lambda _: Case(
        PoolFactory().name,
        {
            "availability_percent": "99.9",
            "zone": "Europe/Berlin",
            "days": ["0", "1"],
            "opens": "07:00",
            "closes": "19:00",
        },
    ),
    "report-target-labels": lambda _: Case(
        fields={"label_set": "x64, linux", "percent": "99", "seconds": "30"}
    ),
    "report-window-new": lambda _: Case(
        fields={"pool": "", "begins_at": "2026-11-24 20:00", "ends_at": "2026-11-24 22:00"}
    ),
    "report-window-call-off": lambda _: Case(AnnouncedWindowFactory().pk),
    "scope-new": lambda _: Case(
        fields={
            "web_url": "https://github.com/acme/web",
            "credential": CredentialFactory().pk,
            "runner_group_id": "1",
            "runner_group_name": "Default",
        }
    ),
    "scope-remove": lambda _: Case(ScopeFactory().pk),
    "scope-group": lambda _: Case(ScopeFactory(runner_group_id=9).pk, {"group": "1"}),
    "scope-webhook": lambda _: Case(ScopeFactory().pk),
    "scope-webhook-remove": lambda _: Case(ScopeFactory(webhook_secret_encrypted="x").pk),
    "scope-webhook-forget": lambda _: Case(
        ScopeFactory(
            webhook_secret_encrypted="x",
            webhook_secret_previous_encrypted="y",
            webhook_secret_previous_until=NOW,
        ).pk
    ),
    "scope-jobs": lambda _: Case(ScopeFactory().pk, {"source": "polling"}),
    "delivery-redeliver": redeliverable,
    "credential-new": lambda _: Case(
        fields={
            "name": "acme-token",
            "kind_choice": "token",
            "token": TOKEN,
            "api_url": "https://api.github.com",
        }
    ),
    "credential-replace": lambda _: Case(CredentialFactory().pk, {"token": TOKEN}),
    "credential-replace-by": lambda _: Case(
        CredentialFactory(kind="app").pk, {"day": "2027-03-01"}
    ),
    "credential-remove": lambda _: Case(CredentialFactory().pk),
    "credential-check": lambda _: Case(ScopeFactory(credential__verdict="").credential.pk),
    "code-revoke": lambda _: Case(EnrolmentCodeFactory().pk),
    "member-new": lambda _: Case(fields={"username": "dev-lea", "email": "", "role": "operator"}),
    "member-role": lambda _: Case(UserFactory(role="viewer").pk, {"role": "operator"}),
    "member-link": lambda _: Case(UserFactory(role="viewer").pk),
    "member-deactivate": lambda _: Case(UserFactory(role="viewer").pk),
    "member-activate": lambda _: Case(UserFactory(role="viewer", is_active=False).pk),
}
# They show what a policy would do, and change nothing.
PREVIEWS = {"pool-preview", "pool-new-preview"}


def test_every_address_that_takes_a_form_is_tried_here():
    assert {name for name, rule in RULES.items() if "post" in rule.verbs} == {*CASES} | PREVIEWS


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_recorded_with_who_asked(client, monkeypatch, name):
    github = FakeGitHub()
    monkeypatch.setattr(wiring, "client_for", lambda credential: github)
    monkeypatch.setattr(wiring, "client_with", lambda new: github)
    admin = UserFactory(role="admin")
    client.force_login(admin)
    case = CASES[name](github)
    fields: Fields = {"reason": "Because", **(case.fields or {})}
    if case.before:
        client.post(reverse(case.before), fields)
    before = Event.objects.count()

    response = client.post(reverse(name, args=[case.about] if case.about else []), fields)

    assert response.status_code in (200, 302), response.content.decode()
    made = Event.objects.order_by("pk")[before:]
    assert admin.get_username() in {event.actor_name for event in made}
