"""The doctor's page: who may see it, and what comes first."""

from django.urls import reverse

from tests.factories import HostFactory, ScopeFactory
from tests.views.dom import parse


def test_viewer_may_not_see_the_checks(viewer):
    assert viewer.get(reverse("doctor")).status_code == 403


def test_worst_comes_first_with_its_fix(operator):
    ScopeFactory()
    HostFactory()

    answer = operator.get(reverse("doctor"))

    rows = parse(answer.content).by_id("doctor").one("tbody").all("tr")
    order = [row["data-verdict"] for row in rows]
    assert order[0] == "bad"
    assert order == sorted(order, key=["bad", "warn", "unknown", "ok"].index)


def test_settings_lead_to_it(operator):
    answer = operator.get(reverse("code-list"))

    sections = parse(answer.content).by_id("settings-sections")
    assert reverse("doctor") in [link["href"] for link in sections.all("a")]
