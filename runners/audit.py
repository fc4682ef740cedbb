"""The one place an `Event` is written, inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Model

from runners.models import Event, Host, Runner

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
    return event


def _host_id(subject: Model) -> int | None:
    if isinstance(subject, Host):
        return subject.pk
    return subject.host_id if isinstance(subject, Runner) else None
