from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.utils import timezone

from runners import loop


@pytest.fixture
def worker_seen(db):
    loop.touch(loop.WORKER, timezone.now() - timedelta(seconds=50))


def test_living_process_says_so_without_the_database(client: Client):
    answer = client.get("/healthz")

    assert answer.status_code == 200
    assert answer.json() == {"ok": True}


def test_installation_is_ready_when_its_worker_was_seen(client: Client, worker_seen):
    answer = client.get("/readyz")

    assert answer.status_code == 200
    assert answer.json() == {
        "ok": True,
        "checks": {"database": True, "migrations": True, "worker": True},
    }


def test_installation_without_a_worker_is_not_ready(client: Client, db):
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"] == {"database": True, "migrations": True, "worker": False}


def test_worker_that_fell_silent_does_not_count(client: Client, db):
    loop.touch(loop.WORKER, timezone.now() - timedelta(seconds=61))

    assert client.get("/readyz").json()["checks"]["worker"] is False


def test_missing_migration_is_named(client: Client, worker_seen):
    MigrationRecorder(connection).migration_qs.filter(app="runners").delete()

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] is False


def test_database_that_does_not_answer_is_named(client: Client, monkeypatch):
    def refuse(*args: object) -> None:
        raise OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(connection, "cursor", refuse)

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json() == {
        "ok": False,
        "checks": {"database": False, "migrations": False, "worker": False},
    }


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_take_no_post_and_are_never_cached(client: Client, db, path):
    assert client.post(path).status_code == 405
    assert "no-store" in client.get(path)["Cache-Control"]
