"""Putting a backup back, and making what came back fit for a world that went on without it.

Everything that can be refused is refused before the database is touched. Afterwards nothing that
the tables say of hosts and GitHub is taken for fresh: leases, queued tasks and sign-ins are
dropped, every host is told its whole wanted set anew, and no number is given out twice.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from django.apps import apps
from django.contrib.sessions.models import Session
from django.db import connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.models import BigAutoField, F, Max, Model
from django_q.models import OrmQ

from runners import audit, backup, database_copy, fleet, lifecycle, loop
from runners.audit import Actor
from runners.backup import BackupUnusable, Manifest
from runners.credentials import WEBHOOK_SECRETS
from runners.errors import InvalidRequest
from runners.models import (
    Beat,
    Credential,
    EnrolmentCode,
    Host,
    Lease,
    Repository,
    Runner,
    Scope,
)
from runners.states import RunnerState
from runners.vault import SecretUnreadable, Vault

# The beat that tells when, and from what, the database was last restored
BEAT = "restore"
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
# Far above what any agent may have heard since the backup
WANTED_VERSIONS_SKIPPED = 1_000_000
_OCCUPANTS: tuple[type[Model], ...] = (Credential, Scope, Host, Runner)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back; `unreadable` names what holds a secret that no present key opens."""

    manifest: Manifest
    hosts: int
    runners: int
    scopes: int
    unreadable: tuple[str, ...]


def restore(
    file: Path,
    *,
    keys: Sequence[str],
    force: bool,
    migrate: Callable[[], object],
    by: Actor,
    now: datetime,
) -> Restored:
    """Put the backup in the place of the database; `migrate` brings its tables up to date.

    Raises BackupUnusable, InvalidRequest or CopyFailed, and then the database is as it was.
    Interrupted between the copy and its end, it is to be run again.
    """
    manifest = check(file, keys=keys)
    refuse_running_fleet(now)
    refuse_occupied(force)
    with tempfile.TemporaryDirectory(prefix="fleetui-restore-") as folder:
        copy = Path(folder) / backup.DATABASE
        backup.unpack_database(file, manifest, copy)
        database_copy.copy_in(copy, Path(folder))
    migrate()
    return prepare(manifest, vault=Vault(keys), by=by, now=now)


def check(file: Path, *, keys: Sequence[str]) -> Manifest:
    """Read the manifest, and refuse what this installation can't take. Raises BackupUnusable."""
    manifest = backup.read_manifest(file)
    if manifest.vendor != connection.vendor:
        raise BackupUnusable(
            f"{file} is a backup of {manifest.vendor}, and DATABASE_URL names {connection.vendor}. "
            "Restore it into a database of its own kind."
        )
    unknown = unknown_migrations(manifest)
    if unknown:
        raise BackupUnusable(
            f"{file} was made by Fleetui {manifest.version}, which is newer than this one: "
            f"{unknown[0]} is not known here. Restore it with that version or a newer one."
        )
    try:
        Vault(keys).decrypt(manifest.key_check)
    except SecretUnreadable:
        where = "It is in the backup: add --with-key." if manifest.with_key else ""
        raise BackupUnusable(
            "The present FLEET_SECRET_KEY is not the one of this backup, and without that no "
            "credential in it can be read. Set FLEET_SECRET_KEY, or put the key back into "
            f"secret.key in the data folder. {where}".rstrip()
        ) from None
    return manifest


def unknown_migrations(manifest: Manifest) -> list[str]:
    """Migrations of the backup that this version of the code does not have."""
    loader = MigrationLoader(None)
    known = {f"{app}.{name}" for app, name in loader.disk_migrations or ()}
    return sorted(set(manifest.migrations) - known)


def refuse_running_fleet(now: datetime) -> None:
    """Raise InvalidRequest while a loop works or anybody else has the database open."""
    users = database_copy.users_of_database()
    if users:
        raise InvalidRequest(
            f"The database is in use by {', '.join(users[:5])}. Stop web, worker and loop first."
        )
    if _has_table(Lease):
        refuse_leased(now)


def refuse_leased(now: datetime) -> None:
    """Raise InvalidRequest while a loop, wherever it runs, holds its lease."""
    holder = Lease.objects.filter(name=loop.LOOP, expires_at__gt=now).first()
    if holder is not None:
        raise InvalidRequest(
            f"A fleet works on this database: the loop {holder.owner} holds its lease until "
            f"{holder.expires_at:%H:%M:%S} UTC. Stop web, worker and loop first; after a crash, "
            "wait until then."
        )


def refuse_occupied(force: bool) -> None:
    """Raise InvalidRequest when the database holds a fleet and nobody said that it may go."""
    if force or not _has_table(Scope):
        return
    counts = {
        model._meta.verbose_name_plural: model._default_manager.count() for model in _OCCUPANTS
    }
    held = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    if held:
        raise InvalidRequest(
            f"This database holds {held}, which the backup would replace. Make a backup of it, "
            "then add --force."
        )


def prepare(manifest: Manifest, *, vault: Vault, by: Actor, now: datetime) -> Restored:
    """Make the restored tables start from facts; one transaction."""
    words = f"Restored from the backup of {manifest.moment:%Y-%m-%d %H:%M:%S} UTC"
    with transaction.atomic():
        _forget_what_ran()
        EnrolmentCode.objects.filter(used_at=None, revoked_at=None).update(revoked_at=now)
        _doubt_hosts(now)
        _shift_deadlines(now - manifest.moment, now)
        skip_numbers(now)
        loop.touch(BEAT, now, detail=manifest.made_at)
        audit.record(fleet.get(), "fleet.restore", by=by, at=now, reason=words)
        scopes = _doubt_scopes(words, now)
    return Restored(
        manifest=manifest,
        hosts=Host.objects.in_service().count(),
        runners=Runner.objects.live().count(),
        scopes=scopes,
        unreadable=tuple(_unreadable(vault)),
    )


def _forget_what_ran() -> None:
    """Leases and tasks of processes that are gone, and sign-ins that may have ended since."""
    Lease.objects.all().delete()
    OrmQ.objects.all().delete()
    Beat.objects.all().delete()
    Session.objects.all().delete()


def _doubt_hosts(now: datetime) -> None:
    """Every host is silent until it speaks, and then hears its whole set, whatever it holds.

    Its agent may have heard a higher version since the backup; the same one would read as
    "nothing new". Being silent since now, it gets the whole time a silent host is waited for.
    """
    Host.objects.in_service().exclude(last_seen_at=None).update(
        late_after=now, offline_after=now, offline_noted_at=now
    )
    Host.objects.update(
        wanted_version=F("wanted_version") + WANTED_VERSIONS_SKIPPED,
        quiet_digest="",
        facts_digest="",
    )


def _shift_deadlines(elapsed: timedelta, now: datetime) -> None:
    """Give what was under way the time it had left at the backup: nobody watched it since."""
    Runner.objects.filter(drain_deadline_at__isnull=False).update(
        drain_deadline_at=F("drain_deadline_at") + elapsed
    )
    Runner.objects.filter(state=RunnerState.PROVISIONING).update(state_changed_at=now)


def _doubt_scopes(words: str, now: datetime) -> int:
    """GitHub's part is unknown until a pass has asked; one is queued for every scope."""
    Scope.objects.update(
        reconcile_wanted=False,
        github_unknown_since=now,
        github_error=f"{words}; GitHub was not asked since.",
        jobs_polled_at=None,
        jobs_swept_at=None,
        repositories_listed_at=None,
        deliveries_wanted=False,
        deliveries_checked_at=None,
    )
    # What was delivered since the backup is asked for again, and every repository looked at
    Repository.objects.update(looked_at=None, confirmed_at=None)
    pks = list(Scope.objects.values_list("pk", flat=True))
    for pk in pks:
        lifecycle.wake_reconcile(pk)
    return len(pks)


def skip_numbers(now: datetime) -> None:
    """Let every table go on counting where no row can have been since the backup.

    A host may hold a runner whose row is lost: that runner's number must not become another's.
    Milliseconds pass faster than any fleet makes rows, so that the same backup restored twice does
    not give a number twice either.
    """
    floor = int((now - EPOCH) / timedelta(milliseconds=1))
    with connection.cursor() as cursor:
        for model in apps.get_app_config("runners").get_models():
            if not isinstance(model._meta.pk, BigAutoField):
                continue
            table = model._meta.db_table
            highest = model._default_manager.aggregate(last=Max("pk"))["last"] or 0
            last = max(floor, highest)
            if connection.vendor == database_copy.SQLITE:
                cursor.execute("DELETE FROM sqlite_sequence WHERE name = %s", [table])
                cursor.execute(
                    "INSERT INTO sqlite_sequence (name, seq) VALUES (%s, %s)", [table, last]
                )
            else:
                cursor.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", [table, last])


def _unreadable(vault: Vault) -> list[str]:
    """What holds a secret that no key opens, as with one encrypted under a key dropped since."""
    sealed = [
        *(
            (f"credential {name}", text)
            for name, text in Credential.objects.values_list("name", "secret_encrypted")
        ),
        *(
            (f"webhook of {slug}", text)
            for slug, *texts in Scope.objects.values_list("slug", *WEBHOOK_SECRETS)
            for text in texts
            if text
        ),
    ]
    found = []
    for name, text in sealed:
        try:
            vault.decrypt(text)
        except SecretUnreadable:
            found.append(name)
    return found


def _has_table(model: type[Model]) -> bool:
    return model._meta.db_table in connection.introspection.table_names()
