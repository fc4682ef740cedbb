import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleetui.env import ConfigurationError
from fleetui.secret_key import derive, secret_keys

LONG = "k" * 32


def test_key_file_is_made_once_and_used_again(tmp_path: Path):
    file = tmp_path / "data" / "secret.key"

    assert secret_keys("", file) == secret_keys("", file)


def test_key_file_is_readable_by_its_owner_alone(tmp_path: Path):
    file = tmp_path / "secret.key"
    secret_keys("", file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_new_data_folder_is_closed_to_other_users(tmp_path: Path):
    secret_keys("", tmp_path / "data" / "secret.key")

    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path):
    file = tmp_path / "secret.key"

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: secret_keys("", file)[0], range(32)))

    assert len(set(found)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_several_keys_come_in_order(tmp_path: Path):
    new, old = "n" * 40, "o" * 40

    assert secret_keys(f"{new}, {old}", tmp_path / "unused") == [new, old]
    assert not (tmp_path / "unused").exists()


def test_key_file_with_two_lines_holds_two_keys(tmp_path: Path):
    file = tmp_path / "secret.key"
    file.write_text(f"{'n' * 40}\n{'o' * 40}\n", encoding="utf-8")

    assert secret_keys("", file) == ["n" * 40, "o" * 40]


def test_short_key_is_refused_without_repeating_it(tmp_path: Path):
    with pytest.raises(ConfigurationError) as caught:
        secret_keys(f"{LONG},hunter2", tmp_path / "unused")

    assert str(caught.value) == "FLEET_SECRET_KEY: key 2 is shorter than 32 characters"


def test_folder_that_cannot_hold_a_key_is_named(tmp_path: Path):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match=r"^DATA_DIR: cannot keep a key in"):
        secret_keys("", tmp_path / "file" / "secret.key")


def test_derived_keys_differ_by_purpose_and_by_key():
    assert len({derive(LONG, "django"), derive(LONG, "other"), derive("x" * 32, "django")}) == 3
    assert LONG not in derive(LONG, "django")
