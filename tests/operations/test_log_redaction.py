import logging

import pytest

from fleetui import gunicorn
from runners.log_redaction import JsonFormatter, RedactingFormatter

TOKEN = "ghp_" + "a1B2" * 9
FINE_GRAINED = "github_pat_" + "a1B2c3D4e5" * 8


def line(message: str, *args: object, error: BaseException | None = None) -> str:
    formatter = RedactingFormatter("%(levelname)s %(message)s", secrets=["no-shape-of-its-own"])
    info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, message, args, info)
    return formatter.format(record)


def test_harmless_line_is_left_alone():
    assert line("runner %s is %s", 12, "idle") == "ERROR runner 12 is idle"


@pytest.mark.parametrize("secret", [TOKEN, FINE_GRAINED, "no-shape-of-its-own"])
def test_secret_among_the_arguments_is_masked(secret):
    assert secret not in line("sent %s", {"token": secret})


def test_secret_in_a_traceback_is_masked():
    try:
        raise ValueError(f"refused {TOKEN}")
    except ValueError as error:
        text = line("failed", error=error)

    assert "Traceback" in text
    assert "ValueError" in text
    assert TOKEN not in text


def test_product_logs_through_this_formatter_everywhere(settings):
    handlers = settings.LOGGING["handlers"].values()

    assert {handler["formatter"] for handler in handlers} == {"line"}
    assert {name: made["()"] for name, made in settings.LOGGING["formatters"].items()} == {
        "line": f"{RedactingFormatter.__module__}.{RedactingFormatter.__name__}",
        "json": f"{JsonFormatter.__module__}.{JsonFormatter.__name__}",
    }


def test_gunicorn_logs_through_this_formatter_too():
    loggers = gunicorn.logconfig_dict["loggers"]
    for name in ("gunicorn.error", "gunicorn.access"):
        assert loggers[name]["handlers"] == []
        assert loggers[name]["propagate"] is True
