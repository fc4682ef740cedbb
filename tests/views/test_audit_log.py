"""The audit log: by day, narrowed, paged by number, and as CSV that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.urls import reverse

from runners import audit
from runners.audit import Actor
from runners.models import Event
from runners.views.csv_export import safe_cell
from runners.views.events import CSV_HEAD, PAGE_SIZE
from tests.factories import NOW, HostFactory, RunnerFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("event-list")
PERSON = Actor(Event.ActorKind.USER, "ops-oncall")


def record(subject=None, action="host.cordon", **facts):
    facts.setdefault("by", PERSON)
    facts.setdefault("at", NOW)
    return audit.record(subject or HostFactory(), action, **facts)


def listed(client, **query):
    page = parse(client.get(URL, query).content)
    return [
        row["id"] for row in page.all("tr") if row.attributes.get("id", "").startswith("event-")
    ]


def ids(*events):
    return [f"event-{event.pk}" for event in events]


def csv_rows(client, **query):
    body = b"".join(client.get(URL, {"format": "csv", **query}).streaming_content).decode()
    return list(csv.reader(io.StringIO(body)))


def test_an_entry_says_who_did_what_to_which_from_what_to_what_and_why(viewer):
    event = record(
        HostFactory(name="forge-01"), was="open", became="cordoned", reason="Kernel update"
    )

    row = parse(viewer.get(URL).content).by_id(f"event-{event.pk}")

    assert [cell.text for cell in row.all("td")] == [
        "12:00:00",
        "ops-oncall",
        "Cordoned host",
        "host forge-01",
        "open cordoned Kernel update",
        f"#{event.pk}",
    ]


def test_what_else_was_kept_is_told_in_words(viewer):
    event = record(
        RunnerFactory(), "runner.provision", detail={"labels": ["a", "b"], "ephemeral": True}
    )

    row = parse(viewer.get(URL).content).by_id(f"event-{event.pk}")

    assert "labels a+b, ephemeral yes" in row.text


def test_an_action_without_words_is_spelled_out(viewer):
    event = record(action="host.something-new")

    assert "Host something new" in parse(viewer.get(URL).content).by_id(f"event-{event.pk}").text


def test_entries_are_grouped_by_day_newest_first(viewer):
    old = record(at=NOW - timedelta(days=1))
    new = record()

    page = parse(viewer.get(URL).content)

    assert [head.text for head in page.all("th", scope="rowgroup")] == [
        "Monday 23 November 2026",
        "Sunday 22 November 2026",
    ]
    assert listed(viewer) == ids(new, old)


@pytest.mark.parametrize(
    "query",
    [
        {"q": "needle"},
        {"q": "spare part"},
        {"actor": "needle-actor"},
        {"action": "host.retire"},
        {"object": "needle"},
        {"host": "needle-host"},
        {"from": "2026-11-24"},
        {"from": "2026-11-24", "to": "2026-11-24", "q": "needle"},
    ],
)
def test_a_filter_keeps_only_what_it_names(viewer, query):
    record()
    found = record(
        HostFactory(name="needle-host"),
        "host.retire",
        by=Actor(Event.ActorKind.USER, "needle-actor"),
        at=NOW + timedelta(days=1),
        reason="spare part",
    )

    assert listed(viewer, **query) == ids(found)


def test_the_last_day_is_whole(viewer):
    late = record(at=NOW.replace(hour=23, minute=59))
    record(at=NOW.replace(hour=0, minute=0) + timedelta(days=1))

    assert listed(viewer, to="2026-11-23") == ids(late)


def test_people_only_leaves_programs_out(viewer):
    record(by=Actor.system("reconcile"))
    mine = record()
    by_command = record(by=Actor(Event.ActorKind.COMMAND, "root"))

    assert listed(viewer, people="1") == ids(by_command, mine)


@pytest.mark.parametrize(
    "query", [{"from": "yesterday"}, {"to": "2026-02-31"}, {"before": "x"}, {"after": "-"}]
)
def test_a_parameter_that_means_nothing_is_ignored(viewer, query):
    event = record()

    assert listed(viewer, **query) == ids(event)


# Pages


def test_pages_follow_each_other_both_ways_without_a_gap(viewer):
    host = HostFactory()
    events = [record(host) for _ in range(PAGE_SIZE + 3)]

    first = parse(viewer.get(URL).content)
    second = parse(viewer.get(first.one("a", rel="next")["href"]).content)
    back = parse(viewer.get(second.one("a", rel="prev")["href"]).content)

    newest_first = [f"event-{event.pk}" for event in reversed(events)]
    seen = [
        [row["id"] for row in page.all("tr") if row.has("id")] for page in (first, second, back)
    ]
    assert seen == [newest_first[:PAGE_SIZE], newest_first[PAGE_SIZE:], newest_first[:PAGE_SIZE]]
    assert first.all("a", rel="prev") == []
    assert second.all("a", rel="next") == []


def test_a_page_link_keeps_the_filters(viewer):
    host = HostFactory()
    for _ in range(PAGE_SIZE + 1):
        record(host)

    page = parse(viewer.get(URL, {"actor": "ops-oncall", "q": ""}).content)

    assert page.one("a", rel="next")["href"].startswith(f"{URL}?actor=ops-oncall&before=")


@pytest.mark.parametrize("count", [3, 30])
def test_the_log_costs_the_same_however_long(viewer, django_assert_num_queries, count):
    host = HostFactory()
    for _ in range(count):
        record(host)

    with django_assert_num_queries(6):
        viewer.get(URL)


def test_a_fragment_is_the_entries_alone(viewer):
    record()

    page = parse(viewer.get(URL, headers=HTMX).content)

    assert page.by_id("events")
    assert page.all("nav", class_="crumbs") == []


def test_an_empty_log_and_no_match_are_told_apart(viewer):
    empty = parse(viewer.get(URL).content).by_id("events").text
    record()
    no_match = parse(viewer.get(URL, {"q": "zzz"}).content).by_id("events").text

    assert "Nothing was done yet" in empty
    assert "No entry matches" in no_match


# CSV


def test_the_export_has_a_head_and_raw_utc_values(viewer):
    event = record(HostFactory(name="forge-01"), was="open", became="cordoned", reason="Kernel")

    head, row = csv_rows(viewer)

    assert head == list(CSV_HEAD)
    assert row == [
        str(event.pk),
        "2026-11-23T12:00:00.000Z",
        "user",
        "ops-oncall",
        "host.cordon",
        "host",
        "forge-01",
        "forge-01",
        "open",
        "cordoned",
        "Kernel",
    ]


def test_the_export_follows_the_filters(viewer):
    record()
    found = record(action="host.retire")

    assert [row[0] for row in csv_rows(viewer, action="host.retire")[1:]] == [str(found.pk)]


def test_the_export_is_a_download_named_by_its_moment(viewer):
    response = viewer.get(URL, {"format": "csv"})

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"] == (
        'attachment; filename="fleetui-audit-20261123T120000Z.csv"'
    )


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_cell_that_begins_like_a_formula_is_quoted(viewer, start):
    record(reason=f"{start}cmd|' /C calc'!A0")

    assert csv_rows(viewer)[1][-1].startswith(f"'{start}")


@pytest.mark.parametrize("text", ["", "plain", "a=b", "5 - 3"])
def test_other_cells_stay_as_they_are(text):
    assert safe_cell(text) == text


def test_quotes_commas_and_lines_survive_the_export(viewer):
    words = 'a "quoted", comma\nand a line'
    record(reason=words)

    assert csv_rows(viewer)[1][-1] == words
