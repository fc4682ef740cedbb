"""The one place an `Event` is written, inside the caller's transaction, and logged once that is
committed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import Model

from runners import log_context
from runners.models import Event, Host, Runner

log = logging.getLogger(__name__)

Detail = Mapping[str, str | int | float | bool | list[str] | None]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a person, one of our own processes, a host's agent, GitHub, or the command line."""

    kind: Event.ActorKind
    name: str
    user_id: int | None = None

    @classmethod
    def system(cls, name: str) -> Actor:
        """One of our own processes or rules, by the name a reader would look for."""
        return cls(Event.ActorKind.SYSTEM, name)


def record(
    subject: Model,
    action: str,
    *,
    by: Actor,
    at: datetime,
    was: str = "",
    became: str = "",
    reason: str = "",
    detail: Detail | None = None,
) -> Event:
    """Append one event about `subject`.

    `action` is `<noun>.<verb>`, such as "runner.drain"; `was` and `became` are what changed, in
    words.
    """
    event = Event(
        at=at,
        actor_kind=by.kind,
        actor_name=by.name[:150],
        actor_user_id=by.user_id,
        action=action,
        object_kind=subject._meta.model_name or "",
        object_id=subject.pk if isinstance(subject.pk, int) else None,
        object_name=str(subject)[:200],
        host_id=_host_id(subject),
        was=was[:200],
        became=became[:200],
        reason=reason,
        detail=dict(detail or {}),
    )
    event.save(force_insert=True)
    transaction.on_commit(partial(_log, event, log_context.present()))
    return event


def _log(event: Event, ids: Mapping[str, str | int]) -> None:
    """Tell of an event in the log; who typed a command is told by the command."""
    typed = event.actor_kind == Event.ActorKind.COMMAND
    about = {event.object_kind: event.object_name, "event_id": event.pk, "by": event.actor_name}
    if event.object_id is not None:
        about[f"{event.object_kind}_id"] = event.object_id
    if event.host_id is not None:
        about["host_id"] = event.host_id
    log.log(
        logging.DEBUG if typed else logging.INFO,
        "%s %s%s",
        event.action,
        event.object_name,
        f": {event.reason}" if event.reason else "",
        extra={"ids": {**ids, **about}},
    )


def _host_id(subject: Model) -> int | None:
    if isinstance(subject, Host):
        return subject.pk
    return subject.host_id if isinstance(subject, Runner) else None
