import pytest

from fleetui.env import Environment
from runners import checks


def test_sound_configuration_is_not_remarked_upon(settings):
    settings.FLEET_BIND = "0.0.0.0"
    settings.FLEET_BASE_URL = "https://fleet.example.org"
    settings.FLEET_HTTPS = True

    assert checks.public_address_fits_the_bound_one(None) == []
    assert checks.other_machines_are_served_over_https(None) == []


def test_loopback_alone_needs_neither_address_nor_tls(settings):
    settings.FLEET_BIND = "127.0.0.1"
    settings.FLEET_BASE_URL = "http://127.0.0.1:8000"
    settings.FLEET_HTTPS = False

    assert checks.public_address_fits_the_bound_one(None) == []
    assert checks.other_machines_are_served_over_https(None) == []


def test_open_dashboard_with_a_loopback_address_is_remarked_upon(settings):
    settings.FLEET_BIND = "0.0.0.0"
    settings.FLEET_BASE_URL = "http://127.0.0.1:8000"

    (warning,) = checks.public_address_fits_the_bound_one(None)

    assert warning.id == "runners.W002"
    assert "FLEET_BASE_URL" in str(warning.hint)


def test_open_dashboard_without_tls_is_remarked_upon_at_deployment(settings):
    settings.FLEET_BIND = "::"
    settings.FLEET_HTTPS = False

    (warning,) = checks.other_machines_are_served_over_https(None)

    assert warning.id == "runners.W003"


def test_unknown_variable_is_remarked_upon(settings):
    settings.FLEET_ENVIRONMENT = Environment({"FLEET_TYPO": "1"}, prefix="FLEET_")

    (warning,) = checks.variables_are_known(None)

    assert warning.id == "runners.W001"
    assert warning.msg == "FLEET_TYPO is not a setting"


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("192.168.1.4", False),
        ("fleet.example.org", False),
        ("", False),
    ],
)
def test_loopback_is_known_in_every_spelling(host, expected):
    assert checks.is_loopback(host) is expected
