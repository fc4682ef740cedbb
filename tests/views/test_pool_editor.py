"""Making and changing a pool: its fields in groups, tried before it is saved."""

from __future__ import annotations

from datetime import time, timedelta

import pytest
from django import forms
from django.urls import reverse

from runners.forms.windows import as_text, parse
from runners.models import Pool
from runners.scaling import Window
from runners.scaling.policy import DAYS
from tests.factories import NOW, HostFactory, JobFactory, PoolFactory, ScopeFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse as read
from tests.views.pool_fields import pool_fields

NEW, NEW_PREVIEW = reverse("pool-new"), reverse("pool-new-preview")
WORKING = frozenset(DAYS[:5])


# Hours as text


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("mon-fri 08:00-18:00 idle 4 max 20", Window(WORKING, time(8), time(18), 4, 20)),
        ("MON-FRI 08:00 - 18:00 idle 4", Window(WORKING, time(8), time(18), 4, None)),
        ("sat,sun 00:00-24:00 max 2", Window(frozenset({"sat", "sun"}), time(0), time(0), None, 2)),
        ("daily 22:00-06:00 idle 0", Window(frozenset(DAYS), time(22), time(6), 0, None)),
        (
            "sat-mon 10:00-11:00 max 1",
            Window(frozenset({"sat", "sun", "mon"}), time(10), time(11), None, 1),
        ),
    ],
)
def test_a_line_is_a_window_and_back(text, window):
    assert parse(f"\n{text}\n") == (window,)
    assert parse(as_text([window])) == (window,)


def test_windows_are_written_as_they_are_read_best():
    text = "mon-fri 08:00-18:00 idle 4\ndaily 00:00-00:00 max 3\nsat,sun 09:30-10:00 idle 1"

    assert as_text(parse(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("always", "Line 1 is no window. Write it as: mon-fri 08:00-18:00 idle 4 max 20"),
        ("mon 08:00-18:00 idle 4\nfoo 08:00-18:00 idle 4", "Line 2: foo names no days."),
        ("mon 8:00-18:00 idle 4", "Line 1: '8:00' is no time of day: write 08:00."),
    ],
)
def test_a_line_that_is_none_says_which_and_how(text, words):
    with pytest.raises(forms.ValidationError) as refused:
        parse(text)

    assert refused.value.messages[0].startswith(words)


# The pages


@pytest.fixture
def admin(sign_in):
    return sign_in("admin")


@pytest.fixture
def pool(db):
    HostFactory()
    pool = PoolFactory(name="linux-x64", min_idle=1)
    at = NOW - timedelta(hours=2)
    JobFactory(scope=pool.scope, done=True, queued_at=at, started_at=at)
    return pool


def edit(pool):
    return reverse("pool-edit", args=[pool.name])


def preview(pool):
    return reverse("pool-preview", args=[pool.name])


def figures(page):
    return {
        figure.one("dt").text: figure.one("dd", class_="kpi__value").text
        for figure in page.by_id("preview-figures").all("div", class_="kpi")
    }


def test_every_field_of_a_policy_is_on_the_page(admin, pool):
    page = read(admin.get(edit(pool)).content).by_id("pool-form")

    named = {each["name"] for each in page.all() if each.has("name")}
    assert set(pool_fields(pool.scope)) <= named
    assert page.by_id("preview-run")["formaction"] == preview(pool)


def test_a_group_with_a_mistake_or_a_decision_is_open(admin, pool):
    pool.priority = 5
    pool.save()

    page = read(admin.get(edit(pool)).content)
    wrong = read(admin.post(edit(pool), pool_fields(pool.scope, cpus="-1", reason="x")).content)

    opened = [each.has("open") for each in page.all("details") if each.has("id")]
    assert opened == [True, True, False, False, True]
    assert wrong.by_id("section-3").has("open")
    assert "Give between 0 and 1 024 cores, not -1." in wrong.by_id("section-3").text


def test_a_preview_shows_both_policies_and_the_changes_and_saves_nothing(admin, pool):
    fields = pool_fields(pool.scope, min_idle="3")

    response = admin.post(preview(pool), fields)

    page = read(response.content)
    assert response.status_code == 200
    assert figures(page)["Most runners at once"] == "4"
    assert "as it is saved: 2" in page.by_id("preview-figures").text
    line = page.by_id("differences").one("tbody").one("tr")
    assert [cell.text for cell in line.all("td")] == ["1", "3"]
    assert page.by_id("id_min_idle")["value"] == "3"
    assert Pool.objects.get().min_idle == 1


def test_the_preview_of_nothing_changed_says_so(admin, pool):
    fields = pool_fields(pool.scope, min_idle="1")

    page = read(admin.post(preview(pool), fields).content)

    assert page.all(id="differences") == []
    assert page.by_id("no-differences")


def test_htmx_gets_the_preview_alone(admin, pool):
    response = admin.post(preview(pool), pool_fields(pool.scope), headers=HTMX)

    page = read(response.content)
    assert [child["id"] for child in page.children if not isinstance(child, str)] == ["preview"]
    assert page.by_id("numbers-preview")


def test_a_policy_that_cannot_be_is_not_tried_and_says_why(admin, pool):
    fields = pool_fields(pool.scope, min_idle="11")

    response = admin.post(preview(pool), fields, headers=HTMX)

    page = read(response.content)
    assert response.status_code == 422
    assert "Keep idle: That is more than the 10 it may run." in page.by_id("preview").text
    assert page.all(id="preview-figures") == []


def test_a_policy_is_set_beside_a_preset(admin, pool):
    fields = pool_fields(pool.scope, against="lazy", span="7d", scale_up_jobs="1")

    page = read(admin.post(preview(pool), fields).content).by_id("preview")

    assert "preset lazy:" in page.by_id("preview-figures").text
    chosen = [each["value"] for each in page.all("input", name="span") if each.has("checked")]
    assert chosen == ["7d"]


def test_a_choice_nobody_offers_means_the_usual(admin, pool):
    fields = pool_fields(pool.scope, against="nonsense", span="1000y")

    assert admin.post(preview(pool), fields).status_code == 200


def test_a_new_pool_is_tried_on_made_up_jobs_beside_nothing(admin):
    HostFactory()
    fields = pool_fields(ScopeFactory())

    page = read(admin.post(NEW_PREVIEW, fields).content)

    assert "made-up jobs over 24 h" in page.by_id("preview").text
    assert page.all(id="differences") == []
    assert Pool.objects.count() == 0


def test_a_policy_without_a_host_is_warned_of(admin):
    page = read(admin.post(NEW_PREVIEW, pool_fields(ScopeFactory())).content)

    words = page.by_id("preview").text
    assert "This policy: no host that could serve it takes runners now." in words
    assert "jobs still wait at the end" in words


@pytest.mark.parametrize("role", ["viewer", "operator", "auditor"])
@pytest.mark.parametrize("url", ["edit", "preview", "new", "new-preview"])
@pytest.mark.django_db
def test_only_an_admin_edits_and_tries(sign_in, role, url):
    pool = PoolFactory()
    address = reverse(f"pool-{url}", args=[] if url.startswith("new") else [pool.name])

    assert sign_in(role).post(address, {}).status_code == 403


def test_a_preview_is_asked_for_and_never_linked_to(admin, pool):
    assert admin.get(preview(pool)).status_code == 405
    assert admin.get(NEW_PREVIEW).status_code == 405


def test_a_pool_that_is_gone_is_404(admin):
    assert admin.post(reverse("pool-preview", args=["gone"]), {}).status_code == 404
    assert admin.get(reverse("pool-edit", args=["gone"])).status_code == 404
