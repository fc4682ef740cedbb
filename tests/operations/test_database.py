from pathlib import Path

import pytest

from fleetui.database import database, without_password
from fleetui.env import ConfigurationError

FILE = Path("/srv/fleet/fleet.sqlite3")


def test_without_an_address_it_is_sqlite_in_the_data_folder():
    entry = database("", FILE)

    assert entry["ENGINE"] == "django.db.backends.sqlite3"
    assert entry["NAME"] == str(FILE)


@pytest.mark.parametrize("url", ["", "sqlite:////srv/other.sqlite3"])
def test_sqlite_waits_for_other_writers_and_keeps_a_write_ahead_log(url):
    options = database(url, FILE)["OPTIONS"]

    assert options["transaction_mode"] == "IMMEDIATE"
    assert options["timeout"] == 20
    assert "journal_mode=WAL" in options["init_command"]
    assert "synchronous=NORMAL" in options["init_command"]


def test_postgresql_connections_live_long_and_are_checked():
    entry = database("postgres://fleet:hunter2@db:5433/fleet", FILE)

    assert entry["ENGINE"] == "django.db.backends.postgresql"
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("db", 5433, "fleet")
    assert entry["CONN_MAX_AGE"] is None
    assert entry["CONN_HEALTH_CHECKS"] is True


@pytest.mark.parametrize("url", ["mysql://u:hunter2@h/n", "hunter2", "postgres://u:hunter2@h:x/n"])
def test_address_that_cannot_be_used_is_refused_without_repeating_it(url):
    with pytest.raises(ConfigurationError, match=r"^DATABASE_URL: ") as caught:
        database(url, FILE)

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgres://fleet:hunter2@db:5433/fleet", "postgres://fleet:********@db:5433/fleet"),
        ("postgres://fleet@db/fleet", "postgres://fleet@db/fleet"),
        ("postgres://db/fleet?user=me&password=hunter2", "********"),
        ("postgres://[half", "********"),
    ],
)
def test_address_is_shown_without_its_password(url, shown):
    assert without_password(url) == shown
