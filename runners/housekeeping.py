"""Throw away what nobody will look at again: sessions that ended, failures of old tasks."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.contrib.sessions.models import Session
from django_q.models import Failure

KEEP_FAILED_TASKS = timedelta(days=14)


def keep_house(now: datetime) -> str:
    """Delete what is past its time and say how much that was."""
    sessions, _ = Session.objects.filter(expire_date__lt=now).delete()
    failures, _ = Failure.objects.filter(stopped__lt=now - KEEP_FAILED_TASKS).delete()
    return f"{sessions} sessions and {failures} failed tasks deleted"
