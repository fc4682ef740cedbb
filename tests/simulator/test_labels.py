"""A runner's labels: read-only ones stay, custom ones come and go, in any case of letters."""

import pytest

from tests.simulator.client import Client
from tests.simulator.listener import register


@pytest.fixture
def labels(admin: Client) -> str:
    """The labels' path of a runner with three read-only labels and one custom one."""
    made = register(admin, labels=["gpu"]).json()
    return f"/orgs/acme/actions/runners/{made['runner_id']}/labels"


def names(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [label["name"] for label in answer["labels"]]


def test_registration_adds_the_default_labels(admin: Client, labels: str) -> None:
    answer = admin.get(labels).json()
    assert [(each["name"], each["type"]) for each in answer["labels"]] == [
        ("self-hosted", "read-only"),
        ("Linux", "read-only"),
        ("X64", "read-only"),
        ("gpu", "custom"),
    ]
    assert answer["total_count"] == 4


def test_adding_keeps_what_is_there(admin: Client, labels: str) -> None:
    answer = admin.post(labels, {"labels": ["GPU", "fast"]}).json()
    assert names(answer) == ["self-hosted", "Linux", "X64", "gpu", "fast"]


def test_setting_replaces_the_custom_ones(admin: Client, labels: str) -> None:
    answer = admin.put(labels, {"labels": ["fast", "linux"]}).json()
    assert names(answer) == ["self-hosted", "Linux", "X64", "fast"]


def test_setting_none_clears_the_custom_ones(admin: Client, labels: str) -> None:
    assert names(admin.put(labels, {"labels": []}).json()) == ["self-hosted", "Linux", "X64"]


def test_deleting_all_answers_the_read_only_rest(admin: Client, labels: str) -> None:
    assert names(admin.delete(labels).json()) == ["self-hosted", "Linux", "X64"]


def test_deleting_one_takes_it_away(admin: Client, labels: str) -> None:
    assert "gpu" not in names(admin.delete(f"{labels}/GPU").json())


def test_deleting_an_absent_label_is_not_found(admin: Client, labels: str) -> None:
    assert admin.delete(f"{labels}/nothing").status_code == 404


def test_deleting_a_read_only_label_is_refused(admin: Client, labels: str) -> None:
    assert admin.delete(f"{labels}/self-hosted").status_code == 422


@pytest.mark.parametrize("wrong", [[], ["a,b"], [""], ["x"] * 101, [1], "gpu", None])
def test_adding_what_is_no_label_is_refused(admin: Client, labels: str, wrong: object) -> None:
    assert admin.post(labels, {"labels": wrong}).status_code == 422
    assert admin.get(labels).json()["total_count"] == 4
