"""Checks of the control plane itself: machine, settings, database, queue and our processes."""

from __future__ import annotations

import shutil
from datetime import datetime, timedelta
from pathlib import Path

from django.core.checks import Tags, run_checks
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django_q.models import Failure, OrmQ, Schedule

from runners import backup, loop
from runners.doctor.finding import Finding, Surroundings, Verdict, some
from runners.models import Beat, Lease

GIB = 2**30
# All follow from plain HTTP, which is right on loopback; elsewhere runners.W003 says it once.
SAID_BY_W003 = ("security.W004", "security.W008", "security.W012", "security.W016")
MANY_TASKS = 500
LONGEST_LEASE = timedelta(hours=1)
SCHEDULE_LATE = timedelta(hours=1)
FAILED_TASKS_SINCE = timedelta(hours=24)
BACKUP_OLD = timedelta(days=7)
SKEW_WARN_SECONDS, SKEW_BAD_SECONDS = 5, 60


def machine(around: Surroundings) -> list[Finding]:
    """What can be told without the database."""
    return [_settings(), _private(around), disk(around.data_dir)]


def _settings() -> Finding:
    """Django's and our own checks for deployments."""
    said = run_checks(tags=[Tags.security, Tags.compatibility], include_deployment_checks=True)
    said = [
        message for message in said if not message.is_silenced() and message.id not in SAID_BY_W003
    ]
    if not said:
        return Finding("settings", Verdict.OK, "Nothing unsafe is set")
    return Finding(
        "settings",
        Verdict.WARN,
        some([f"{message.msg} ({message.id})" for message in said]),
        " ".join(message.hint for message in said if message.hint) or "See docs/guide/settings.md.",
    )


def _private(around: Surroundings) -> Finding:
    """The key and the database are for their owner alone."""
    private = [around.data_dir, *([around.key_file] if around.key_file else [])]
    open_to_others = [path for path in private if path.exists() and path.stat().st_mode & 0o077]
    if not open_to_others:
        return Finding("files", Verdict.OK, "Data folder and key are closed to other users")
    key_is_open = around.key_file in open_to_others
    return Finding(
        "files",
        Verdict.BAD if key_is_open else Verdict.WARN,
        f"Other users of this machine may look at {some([str(path) for path in open_to_others])}",
        "chmod 600 the key file, chmod 700 the folder."
        + (" Then change the key (`rotate_secrets`)." if key_is_open else ""),
    )


def disk(folder: Path) -> Finding:
    """Room for the database, logs and backups."""
    use = shutil.disk_usage(folder)
    free_percent = use.free * 100 // use.total
    seen = f"{use.free / GIB:.1f} GiB of {use.total / GIB:.1f} free ({free_percent} %) at {folder}"
    if free_percent < 3 or use.free < GIB // 2:
        return Finding("disk", Verdict.BAD, seen, "Make room: a full disk stops the database.")
    if free_percent < 10:
        return Finding("disk", Verdict.WARN, seen, "Make room, or move DATA_DIR to a larger disk.")
    return Finding("disk", Verdict.OK, seen)


def database(around: Surroundings, now: datetime) -> list[Finding]:
    """Whether it answers, how it is set, and what its clock says."""
    if connection.vendor == "sqlite":
        return [_sqlite(), Finding("database clock", Verdict.OK, "The clock of this machine")]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), current_setting('synchronous_commit'),"
            " pg_database_size(current_database()), clock_timestamp()"
        )
        version, commit, size, clock = cursor.fetchone()
    seen = f"PostgreSQL {version}, {size / GIB:.2f} GiB, synchronous_commit {commit}"
    unsafe = commit == "off"
    fix = "Set synchronous_commit to on: a crash may lose what was confirmed." if unsafe else ""
    return [
        Finding("database", Verdict.WARN if unsafe else Verdict.OK, seen, fix),
        skew("database clock", (clock - now).total_seconds()),
    ]


def _sqlite() -> Finding:
    with connection.cursor() as cursor:
        facts = {}
        for name in ("journal_mode", "synchronous", "page_count", "page_size"):
            cursor.execute(f"PRAGMA {name}")
            (facts[name],) = cursor.fetchone()
    size = int(facts["page_count"]) * int(facts["page_size"])
    seen = (
        f"SQLite, {size / GIB:.2f} GiB, journal {facts['journal_mode']}, "
        f"synchronous {facts['synchronous']}"
    )
    if facts["journal_mode"] not in ("wal", "memory") or int(facts["synchronous"]) < 1:
        return Finding(
            "database",
            Verdict.WARN,
            seen,
            "Let Fleetui open the file by its own settings; network file systems can't do WAL.",
        )
    return Finding("database", Verdict.OK, seen)


def skew(name: str, seconds: float) -> Finding:
    """How far a clock is from this process's."""
    seen = f"{abs(seconds):.1f} s {'ahead of' if seconds > 0 else 'behind'} this process"
    if abs(seconds) < SKEW_WARN_SECONDS:
        return Finding(name, Verdict.OK, seen)
    verdict = Verdict.BAD if abs(seconds) >= SKEW_BAD_SECONDS else Verdict.WARN
    return Finding(name, verdict, seen, "Let both machines take their time by NTP.")


def migrations() -> Finding:
    """Whether the tables are those of this version."""
    executor = MigrationExecutor(connection)
    pending = [str(step) for step, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    if pending:
        return Finding(
            "migrations",
            Verdict.BAD,
            f"{len(pending)} not applied: {some(pending)}",
            "Run `manage.py migrate` (`fleet_up` does), then start the processes anew.",
        )
    return Finding("migrations", Verdict.OK, "All applied")


def processes(around: Surroundings, now: datetime) -> list[Finding]:
    """Loop, worker, schedules, queue, leases, backups: as their traces in the database tell."""
    beats = Beat.objects.in_bulk([loop.LOOP, loop.WORKER, backup.BEAT])
    return [
        _loop(beats.get(loop.LOOP), around, now),
        _worker(beats.get(loop.WORKER), around, now),
        _schedules(now),
        _queue(now),
        _leases(now),
        _backups(beats.get(backup.BEAT), now),
    ]


def _loop(beat: Beat | None, around: Surroundings, now: datetime) -> Finding:
    fix = "Start `fleet_loop`, or `fleet_up`, and look at its log."
    if beat is None:
        return Finding("loop", Verdict.BAD, "It never beat", fix)
    silent = now - beat.at
    seen = f"Last beat {_age(silent)} ago, by {beat.detail or 'unknown'}"
    late = silent > timedelta(seconds=3 * around.loop_seconds + 5)
    return Finding("loop", Verdict.BAD if late else Verdict.OK, seen, fix if late else "")


def _worker(beat: Beat | None, around: Surroundings, now: datetime) -> Finding:
    fix = "Start `fleet_worker`, or `fleet_up`, and look at its log."
    if beat is None:
        return Finding("worker", Verdict.BAD, "No canary ever came back through the queue", fix)
    silent = now - beat.at
    seen = f"The last canary came back {_age(silent)} ago"
    late = silent > timedelta(seconds=around.worker_silent_seconds)
    return Finding("worker", Verdict.BAD if late else Verdict.OK, seen, fix if late else "")


def _schedules(now: datetime) -> Finding:
    rows = list(Schedule.objects.filter(func__startswith="runners.").order_by("name"))
    if not rows:
        return Finding("schedules", Verdict.BAD, "There is none", "Run `setup_schedules`.")
    late = [row.name for row in rows if row.next_run and row.next_run < now - SCHEDULE_LATE]
    if late:
        return Finding(
            "schedules", Verdict.WARN, f"Overdue: {some(late)}", "See whether the worker runs."
        )
    return Finding("schedules", Verdict.OK, f"{len(rows)}, none overdue")


def _queue(now: datetime) -> Finding:
    waiting = OrmQ.objects.count()
    failed = Failure.objects.filter(stopped__gt=now - FAILED_TASKS_SINCE).count()
    seen = f"{waiting} tasks wait or run, {failed} failed in the last day"
    if waiting > MANY_TASKS:
        return Finding("queue", Verdict.WARN, seen, "Raise FLEET_WORKERS, or start more workers.")
    if failed:
        return Finding("queue", Verdict.WARN, seen, "Read their errors in the admin, failed tasks.")
    return Finding("queue", Verdict.OK, seen)


def _leases(now: datetime) -> Finding:
    rows = list(Lease.objects.order_by("name"))
    held = [row for row in rows if row.expires_at > now]
    stuck = [row.name for row in held if row.expires_at > now + LONGEST_LEASE]
    if stuck:
        return Finding(
            "leases",
            Verdict.BAD,
            f"Held for more than an hour to come: {some(stuck)}",
            "The holder's clock was ahead. Stop it, delete the lease, set its clock by NTP.",
        )
    words = [f"{row.name} by {row.owner} for {_age(row.expires_at - now)}" for row in held]
    stale = len(rows) - len(held)
    seen = some(words) or "None is held"
    return Finding("leases", Verdict.OK, seen + (f"; {stale} ran out" if stale else ""))


def _backups(beat: Beat | None, now: datetime) -> Finding:
    fix = "Have `manage.py backup FOLDER --keep 14` run every day, to another disk."
    if beat is None:
        return Finding("backup", Verdict.WARN, "None was ever made with `backup`", fix)
    seen = f"The last was made {_age(now - beat.at)} ago, {beat.detail}"
    old = now - beat.at > BACKUP_OLD
    return Finding("backup", Verdict.WARN if old else Verdict.OK, seen, fix if old else "")


def _age(length: timedelta) -> str:
    seconds = max(0, int(length.total_seconds()))
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
