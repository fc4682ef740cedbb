from datetime import timedelta

import pytest
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django_q.models import Schedule, Task

from runners import housekeeping, tasks
from runners.management.commands.setup_schedules import SCHEDULES

pytestmark = pytest.mark.django_db


def keep_house(now):
    return housekeeping.keep_house(decisions_kept=timedelta(days=7), now=now)


def failed_task(name: str, stopped) -> None:
    Task.objects.create(
        id=name, name=name, func="x", started=stopped, stopped=stopped, success=False
    )


def test_sessions_go_when_they_have_ended(now):
    for name, seconds in (("old", -1), ("new", 1)):
        Session.objects.create(session_key=name, expire_date=now + timedelta(seconds=seconds))

    keep_house(now)

    assert [session.session_key for session in Session.objects.all()] == ["new"]


def test_failed_tasks_go_after_two_weeks(now):
    failed_task("old", now - timedelta(days=15))
    failed_task("new", now - timedelta(days=13))

    keep_house(now)

    assert [task.name for task in Task.objects.all()] == ["new"]


def test_what_was_deleted_is_counted(now):
    failed_task("old", now - timedelta(days=15))

    assert keep_house(now) == (
        "0 sessions, 1 failed tasks, 0 deliveries, 0 decisions and 0 samples of pools deleted"
    )


def test_schedules_are_the_same_however_often_they_are_set_up():
    for _ in range(2):
        call_command("setup_schedules", verbosity=0)

    assert {schedule.name for schedule in Schedule.objects.all()} == set(SCHEDULES)


def test_schedule_we_no_longer_have_is_dropped_and_others_are_kept():
    Schedule.objects.create(name="ours", func="runners.tasks.gone")
    Schedule.objects.create(name="theirs", func="plugin.tasks.clean")

    call_command("setup_schedules", verbosity=0)

    names = {schedule.name for schedule in Schedule.objects.all()}
    assert names == {*SCHEDULES, "theirs"}


def test_every_scheduled_task_exists():
    for path, _ in SCHEDULES.values():
        module, _, name = path.rpartition(".")
        assert module == "runners.tasks"
        assert callable(getattr(tasks, name))
