from pathlib import Path

import pytest

from fleetui.env import MASK, ConfigurationError, Environment


def read_integer(text: str) -> int:
    environment = Environment({"FLEET_N": text}, prefix="FLEET_")
    return environment.integer("FLEET_N", 30, minimum=5, maximum=60, unit="seconds", help="n")


def test_unset_variable_has_its_default():
    environment = Environment({}, prefix="FLEET_")

    value = environment.integer("FLEET_N", 30, minimum=5, maximum=60, unit="seconds", help="n")

    assert value == 30
    assert environment.declared[0].source == "default"


def test_empty_variable_counts_as_not_set():
    assert read_integer("") == 30


@pytest.mark.parametrize("text", ["5", "60", "17"])
def test_whole_number_within_its_range_is_taken(text):
    assert read_integer(text) == int(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("4", "FLEET_N: 4 is not between 5 and 60 seconds"),
        ("61", "FLEET_N: 61 is not between 5 and 60 seconds"),
        ("-7", "FLEET_N: -7 is not between 5 and 60 seconds"),
        ("soon", "FLEET_N: 'soon' is not a whole number"),
        ("1.5", "FLEET_N: '1.5' is not a whole number"),
        ("1_0", "FLEET_N: '1_0' is not a whole number"),
        ("٣٠", "FLEET_N: '٣٠' is not a whole number"),
        ("30 # half a minute", "FLEET_N: has a comment after its value; remove it"),
        ("30 ", "FLEET_N: has blanks around its value; remove them"),
        ("\t30", "FLEET_N: has blanks around its value; remove them"),
        ('"30"', "FLEET_N: has quotes around its value; remove them"),
        ("3\n0", "FLEET_N: has a control character or a line break in its value"),
    ],
)
def test_number_that_does_not_fit_is_named_in_one_line(text, problem):
    with pytest.raises(ConfigurationError) as caught:
        read_integer(text)

    assert str(caught.value) == problem


@pytest.mark.parametrize("text", ["1", "true", "YES", "On"])
def test_yes_is_read_in_every_usual_spelling(text):
    assert Environment({"FLEET_B": text}, prefix="FLEET_").boolean("FLEET_B", False, help="b")


@pytest.mark.parametrize("text", ["0", "false", "NO", "Off"])
def test_no_is_read_in_every_usual_spelling(text):
    assert not Environment({"FLEET_B": text}, prefix="FLEET_").boolean("FLEET_B", True, help="b")


def test_neither_yes_nor_no_is_refused():
    with pytest.raises(ConfigurationError, match=r"^FLEET_B: 'maybe' is not yes or no"):
        Environment({"FLEET_B": "maybe"}, prefix="FLEET_").boolean("FLEET_B", True, help="b")


def test_choice_names_what_may_be_chosen():
    environment = Environment({"FLEET_C": "loud"}, prefix="FLEET_")

    with pytest.raises(ConfigurationError, match=r"^FLEET_C: 'loud' is not one of INFO, ERROR$"):
        environment.choice("FLEET_C", "INFO", choices=("INFO", "ERROR"), help="c")


def test_list_drops_blanks_and_empty_items():
    environment = Environment({"FLEET_L": "a, b,,c"}, prefix="FLEET_")

    assert environment.items("FLEET_L", [], help="l") == ["a", "b", "c"]


def test_address_loses_its_trailing_slash():
    environment = Environment({"FLEET_U": "https://fleet.example.org/"}, prefix="FLEET_")

    assert environment.http_url("FLEET_U", "", help="u") == "https://fleet.example.org"


@pytest.mark.parametrize("text", ["fleet.example.org", "ftp://x", "https://", "http://x:port"])
def test_what_is_no_web_address_is_refused(text):
    environment = Environment({"FLEET_U": text}, prefix="FLEET_")

    with pytest.raises(ConfigurationError, match=r"^FLEET_U: .* is not an address such as"):
        environment.http_url("FLEET_U", "", help="u")


def test_address_with_a_password_is_refused_without_repeating_it():
    environment = Environment({"FLEET_U": "https://me:hunter2@x"}, prefix="FLEET_")

    with pytest.raises(ConfigurationError) as caught:
        environment.http_url("FLEET_U", "", help="u")

    assert "hunter2" not in str(caught.value)


def test_secret_is_given_to_the_reader_and_masked_in_the_list():
    environment = Environment({"FLEET_S": "hunter2"}, prefix="FLEET_")

    assert environment.secret("FLEET_S", help="s") == "hunter2"
    assert environment.declared[0].value == MASK
    assert "hunter2" not in repr(environment.declared)


def test_secret_is_read_from_the_named_file(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("hunter2\n", encoding="utf-8")
    environment = Environment({"FLEET_S_FILE": str(file)}, prefix="FLEET_")

    assert environment.secret("FLEET_S", help="s") == "hunter2"
    assert environment.declared[0].source == "file"


def test_secret_given_twice_is_refused(tmp_path: Path):
    environment = Environment({"FLEET_S": "x", "FLEET_S_FILE": str(tmp_path)}, prefix="FLEET_")

    with pytest.raises(ConfigurationError, match=r"^FLEET_S: set either"):
        environment.secret("FLEET_S", help="s")


def test_missing_secret_file_names_the_variable_that_named_it(tmp_path: Path):
    environment = Environment({"FLEET_S_FILE": str(tmp_path / "no")}, prefix="FLEET_")

    with pytest.raises(ConfigurationError, match=r"^FLEET_S_FILE: cannot read .*No such file"):
        environment.secret("FLEET_S", help="s")


def test_empty_secret_file_is_refused(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("\n", encoding="utf-8")
    environment = Environment({"FLEET_S_FILE": str(file)}, prefix="FLEET_")

    with pytest.raises(ConfigurationError, match=r"^FLEET_S_FILE: .* is empty"):
        environment.secret("FLEET_S", help="s")


def test_badly_written_secret_is_not_repeated():
    environment = Environment({"FLEET_S": "hunter2 # mine"}, prefix="FLEET_")

    with pytest.raises(ConfigurationError) as caught:
        environment.secret("FLEET_S", help="s")

    assert "hunter2" not in str(caught.value)


def test_unknown_variable_is_told_with_the_nearest_name():
    environment = Environment({"FLEET_HARTBEAT": "1", "HOME": "x"}, prefix="FLEET_")
    environment.boolean("FLEET_HEARTBEAT", True, help="h")

    assert environment.unknown() == (
        "FLEET_HARTBEAT is not a setting; did you mean FLEET_HEARTBEAT?",
    )


def test_name_that_has_no_prefix_is_found_behind_one():
    environment = Environment({"FLEET_PORT": "9000", "FLEET_DATABSE_URL": "x"}, prefix="FLEET_")
    environment.integer("PORT", 8000, minimum=1, maximum=65535, unit="", help="p")
    environment.secret("DATABASE_URL", help="d")

    assert environment.unknown() == (
        "FLEET_DATABSE_URL is not a setting; did you mean DATABASE_URL?",
        "FLEET_PORT is not a setting; did you mean PORT?",
    )


def test_unknown_variable_like_no_other_gets_no_guess():
    environment = Environment({"FLEET_XYZZY": "1"}, prefix="FLEET_")
    environment.boolean("FLEET_HEARTBEAT", True, help="h")

    assert environment.unknown() == ("FLEET_XYZZY is not a setting",)


def test_file_form_of_a_secret_is_a_known_name(tmp_path: Path):
    file = tmp_path / "secret"
    file.write_text("hunter2", encoding="utf-8")
    environment = Environment({"FLEET_S_FILE": str(file)}, prefix="FLEET_")
    environment.secret("FLEET_S", help="s")

    assert environment.unknown() == ()
