"""Hosts come and go: enrolment codes, enrolling, token rotation, cordon, uncordon, drain,
retire."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.db.models import F

from runners import audit, lifecycle, tokens
from runners.audit import Actor
from runners.errors import (
    Gone,
    IllegalTransition,
    InvalidRequest,
    NameTaken,
    NotPermitted,
    StaleState,
)
from runners.host_facts import Facts, apply_facts
from runners.models import EnrolmentCode, Event, Host, Runner
from runners.states import RunnerState

SLOTS_LIMIT = 256
SITE_LIMIT = 60


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A host just enrolled, with the token its agent keeps; the token is shown in this answer
    only."""

    host: Host
    token: tokens.NewToken


def issue_code(
    *,
    by: Actor,
    now: datetime,
    minutes: int,
    site: str = "",
    slots: int | None = None,
) -> tuple[EnrolmentCode, tokens.NewToken]:
    """Make a one-time code that lets one machine enrol within `minutes`."""
    _check_slots(slots)
    token = tokens.new_token(tokens.ENROLMENT_KIND)
    with transaction.atomic():
        code = EnrolmentCode.objects.create(
            prefix=token.prefix,
            sha256=token.sha256,
            site=site,
            slots=slots,
            created_by_id=by.user_id,
            created_at=now,
            expires_at=now + timedelta(minutes=minutes),
        )
        audit.record(
            code, "enrolment.issue", by=by, at=now, detail={"site": site, "minutes": minutes}
        )
    return code, token


def revoke_code(code: EnrolmentCode, *, by: Actor, now: datetime) -> Event:
    """Make an unused code useless."""
    with transaction.atomic():
        if not EnrolmentCode.objects.filter(
            pk=code.pk, used_at__isnull=True, revoked_at__isnull=True
        ).update(revoked_at=now):
            raise InvalidRequest("That code was already used or revoked.")
        return audit.record(code, "enrolment.revoke", by=by, at=now)


def enrol(
    code_text: str,
    *,
    name: str,
    facts: Facts,
    agent_version: str,
    site: str,
    slots: int | None,
    now: datetime,
) -> Enrolled:
    """Turn a valid code into a host with an agent token.

    A retired host of the same name comes back as itself, with its history. A machine that never got
    its answer asks again with the same code and gets another token, until its first heartbeat.
    Raises NotPermitted for an unknown code, Gone for a used or expired one, NameTaken,
    InvalidRequest for a bad name.
    """
    prefix = tokens.prefix_of(code_text, tokens.ENROLMENT_KIND)
    code = EnrolmentCode.objects.filter(prefix=prefix).first() if prefix else None
    if code is None or not tokens.matches(code_text, code.sha256):
        raise NotPermitted("This enrolment code is not known here. Make a new one under Hosts.")
    _check_name(name)
    wanted_slots = slots or code.slots
    _check_slots(wanted_slots)
    token = tokens.new_token(tokens.AGENT_KIND)
    if (unanswered := _unanswered(code, name, now)) is not None:
        return _answer_again(unanswered, token, now)
    with transaction.atomic():
        usable = EnrolmentCode.objects.filter(
            pk=code.pk, used_at__isnull=True, revoked_at__isnull=True, expires_at__gt=now
        )
        if not usable.update(used_at=now):
            raise Gone("This enrolment code was used or has run out. Make a new one under Hosts.")
        host = Host.objects.filter(name=name).first() or Host(name=name)
        if host.pk is not None and host.retired_at is None:
            raise NameTaken(
                f"A host named {name} is already enrolled. Retire it first, or choose another name."
            )
        host.site = site or code.site or host.site
        host.slots = wanted_slots or default_slots(facts)
        host.enrolled_at = now
        host.retired_at = host.last_seen_at = host.late_after = host.offline_after = None
        host.offline_noted_at = None
        host.cordoned_at, host.cordoned_reason = None, ""
        host.journal_seq = 0
        host.token_prefix, host.token_sha256, host.token_rotated_at = (
            token.prefix,
            token.sha256,
            now,
        )
        host.next_token_prefix = host.next_token_sha256 = ""
        host.token_rotation_asked_at = None
        host.agent_version = agent_version
        apply_facts(host, facts)
        try:
            with transaction.atomic():
                host.save()
        except IntegrityError as error:
            raise NameTaken(f"A host named {name} was enrolled a moment ago.") from error
        EnrolmentCode.objects.filter(pk=code.pk).update(host=host)
        agent = Actor(Event.ActorKind.AGENT, name)
        audit.record(
            host,
            "host.enrol",
            by=agent,
            at=now,
            became="enrolled",
            detail={"architecture": host.architecture, "site": host.site, "slots": host.slots},
        )
    return Enrolled(host=host, token=token)


def _unanswered(code: EnrolmentCode, name: str, now: datetime) -> Host | None:
    """The host that this code made a moment ago, if nothing was heard of it since."""
    usable = code.revoked_at is None and code.expires_at > now
    if code.host_id is None or not usable:
        return None
    return Host.objects.filter(
        pk=code.host_id, name=name, last_seen_at__isnull=True, retired_at__isnull=True
    ).first()


def _answer_again(host: Host, token: tokens.NewToken, now: datetime) -> Enrolled:
    """Give a host another token in place of the one it may never have got."""
    with transaction.atomic():
        silent = Host.objects.filter(pk=host.pk, last_seen_at__isnull=True)
        if not silent.update(
            token_prefix=token.prefix, token_sha256=token.sha256, token_rotated_at=now
        ):
            raise Gone("This enrolment code was used or has run out. Make a new one under Hosts.")
        audit.record(
            host,
            "host.enrol",
            by=Actor(Event.ActorKind.AGENT, host.name),
            at=now,
            became="enrolled",
            detail={"again": True},
        )
    host.refresh_from_db()
    return Enrolled(host=host, token=token)


def default_slots(facts: Facts) -> int:
    """One slot per two cores and per two GB, at least one: a job needs room to build."""
    cores = (facts.cpu_count or 2) // 2
    memory = (facts.memory_bytes or 2 * 2**30) // (2 * 2**30)
    return max(1, min(cores, memory, SLOTS_LIMIT))


def cordon(host: Host, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Give the host no new runners; those it has go on. Cordoning twice changes nothing (None)."""
    with transaction.atomic():
        if not Host.objects.filter(pk=host.pk, cordoned_at__isnull=True).update(
            cordoned_at=now, cordoned_reason=reason[:200]
        ):
            return None
        event = audit.record(
            host, "host.cordon", by=by, at=now, was="open", became="cordoned", reason=reason
        )
    host.cordoned_at, host.cordoned_reason = now, reason[:200]
    return event


def uncordon(host: Host, *, by: Actor, reason: str, now: datetime) -> Event | None:
    """Let the host take new runners again. Uncordoning an open host changes nothing (None)."""
    with transaction.atomic():
        if not Host.objects.filter(pk=host.pk, cordoned_at__isnull=False).update(
            cordoned_at=None, cordoned_reason=""
        ):
            return None
        event = audit.record(
            host, "host.uncordon", by=by, at=now, was="cordoned", became="open", reason=reason
        )
    host.cordoned_at, host.cordoned_reason = None, ""
    return event


def drain_host(
    host: Host, *, by: Actor, reason: str, now: datetime, deadline_at: datetime | None = None
) -> list[Runner]:
    """Cordon the host and drain every runner on it; returns the runners told to drain."""
    drained = []
    # All or nothing: cut off in between, it would look done while runners there take more jobs
    with transaction.atomic():
        cordon(host, by=by, reason=reason, now=now)
        for runner in Runner.objects.filter(
            host=host, state__in=[RunnerState.PROVISIONING, RunnerState.ACTIVE]
        ):
            try:
                lifecycle.drain(runner, by=by, reason=reason, now=now, deadline_at=deadline_at)
            except (StaleState, IllegalTransition):
                continue  # it moved a moment ago, and every move from here leads out
            drained.append(runner)
    return drained


def retire(host: Host, *, by: Actor, reason: str, now: datetime) -> Event:
    """Take a host out for good: its runners leave GitHub, its history stays.

    Its token opens nothing any more; it is kept so that the agent can be told why (410) and end.

    Raises InvalidRequest while a job may be running there: drain the host first.
    """
    with transaction.atomic():
        runners = list(Runner.objects.filter(host=host, slot__isnull=False).select_related("host"))
        busy = [r.name for r in runners if r.phase == "busy" or r.github_busy]
        if busy:
            raise InvalidRequest(
                f"{', '.join(busy[:3])} may be running a job. "
                f"Drain {host.name} first, then retire it."
            )
        if not Host.objects.filter(pk=host.pk, retired_at__isnull=True).update(
            retired_at=now,
            wanted_version=F("wanted_version") + 1,
        ):
            raise InvalidRequest(f"{host.name} was already retired.")
        for runner in runners:
            if runner.state != RunnerState.REMOVING:
                lifecycle.transition(
                    runner, RunnerState.REMOVING, by=by, reason=f"{host.name} was retired", now=now
                )
            lifecycle.wake_reconcile(runner.scope_id)
        event = audit.record(
            host, "host.retire", by=by, at=now, was="enrolled", became="retired", reason=reason
        )
    host.retired_at = now
    return event


def set_slots(
    host: Host,
    slots: int,
    *,
    cpu_cores: float | None = None,
    memory_bytes: int | None = None,
    by: Actor,
    reason: str,
    now: datetime,
) -> Event:
    """Change how many runners may run on the host at once, and what each may use at most.

    Runners above the number finish first; limits are those of runners that start from now on.
    """
    _check_slots(slots)
    with transaction.atomic():
        was = _slots_words(host.slots, host.slot_cpu_cores, host.slot_memory_bytes)
        Host.objects.filter(pk=host.pk).update(
            slots=slots, slot_cpu_cores=cpu_cores, slot_memory_bytes=memory_bytes
        )
        event = audit.record(
            host,
            "host.slots",
            by=by,
            at=now,
            was=was,
            became=_slots_words(slots, cpu_cores, memory_bytes),
            reason=reason,
        )
    host.slots, host.slot_cpu_cores, host.slot_memory_bytes = slots, cpu_cores, memory_bytes
    return event


def set_place(
    host: Host,
    *,
    site: str,
    labels: Iterable[str] | None = None,
    by: Actor,
    reason: str,
    now: datetime,
) -> Event | None:
    """Say where the host stands and what it is called by pools; None when nothing changed.

    `labels` None leaves them. Runners that are there stay; new ones follow it.
    """
    if len(site) > SITE_LIMIT:
        raise InvalidRequest(f"A site has at most {SITE_LIMIT} characters.")
    names = sorted(label.name for label in host.labels.all())
    wanted = names if labels is None else lifecycle.clean_labels(labels) if labels else []
    same_labels = {name.lower() for name in names} == {name.lower() for name in wanted}
    if site == host.site and same_labels:
        return None
    was, became = _place_words(host.site, names), _place_words(site, wanted)
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(site=site)
        host.labels.set(lifecycle.get_labels(wanted))
        event = audit.record(
            host, "host.place", by=by, at=now, was=was, became=became, reason=reason
        )
    host.site = site
    return event


def _place_words(site: str, labels: Iterable[str]) -> str:
    return ", ".join([site or "no site", *sorted(labels)])


def _slots_words(slots: int, cpu_cores: float | None, memory_bytes: int | None) -> str:
    parts = [str(slots)]
    if cpu_cores is not None:
        parts.append(f"{cpu_cores:g} cores each")
    if memory_bytes is not None:
        parts.append(f"{memory_bytes / 10**9:g} GB each")
    return ", ".join(parts)


def ask_token_rotation(host: Host, *, by: Actor, now: datetime) -> Event:
    """Have the agent given a new token with its next heartbeat; the old one works until then."""
    with transaction.atomic():
        Host.objects.filter(pk=host.pk).update(
            token_rotation_asked_at=now, wanted_version=F("wanted_version") + 1
        )
        return audit.record(host, "host.rotate-token", by=by, at=now)


def note_silent_hosts(*, now: datetime, by: Actor) -> list[Host]:
    """Record, once an outage, each host whose heartbeat is past its deadline."""
    noted = []
    due = Host.objects.filter(
        retired_at__isnull=True, offline_noted_at__isnull=True, offline_after__lte=now
    )
    for host in due:
        with transaction.atomic():
            moved = Host.objects.filter(
                pk=host.pk, offline_noted_at__isnull=True, offline_after__lte=now
            ).update(offline_noted_at=now)
            if moved:
                audit.record(
                    host,
                    "host.offline",
                    by=by,
                    at=now,
                    was="online",
                    became="offline",
                    reason="No heartbeat in time. Its runners may still be working.",
                )
                noted.append(host)
    return noted


def _check_name(name: str) -> None:
    try:
        validate_slug(name)
    except ValidationError as error:
        raise InvalidRequest(
            "A host name has letters, digits, - and _, such as forge-01."
        ) from error
    if len(name) > 40:
        raise InvalidRequest("A host name has at most 40 characters, so that runner names fit.")
    if name == "new":
        raise InvalidRequest("A host can't be named new: that is the page that adds one.")


def _check_slots(slots: int | None) -> None:
    if slots is not None and not 1 <= slots <= SLOTS_LIMIT:
        raise InvalidRequest(f"Slots are between 1 and {SLOTS_LIMIT}.")
