"""Drift in the browser: seen by kind, mended, adopted, cleaned up, and what mends itself."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse

from runners import drift
from runners.drift_kinds import MEANINGS, DriftKind
from runners.models import Drift, Event, Fleet, Host
from tests.factories import NOW, DriftFactory, HostFactory, RunnerFactory, ScopeFactory
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("drift-list")
FIX = reverse("drift-fix")
AUTO = reverse("drift-auto")
GHOSTS = reverse("drift-ghosts")


def shown(client, **query):
    """The keys of the rows on the page."""
    rows = parse(client.get(URL, query).content).by_id("drift").all("tr")
    ids = [row.attributes.get("id", "") for row in rows]
    return [int(key.removeprefix("drift-")) for key in ids if key]


def of_runner(kind="alive-but-offline", **facts):
    runner = RunnerFactory()
    return DriftFactory(
        kind=kind, key=f"runner:{runner.pk}", runner=runner, host=runner.host, **facts
    )


# Looking


def test_a_row_puts_the_three_columns_side_by_side(viewer):
    row = of_runner(wanted="Active", observed="Listening", github="Offline", name="web-1")

    page = parse(viewer.get(URL).content)

    cells = [cell.text for cell in page.by_id(f"drift-{row.pk}").all("td")]
    assert cells[1:4] == ["Wanted Active", "Host says Listening", "GitHub says Offline"]
    assert page.by_id(f"open-{row.pk}")["href"] == row.runner.get_absolute_url()
    assert row.runner.host.name in cells[0]


@pytest.mark.parametrize("kind", [kind for kind in DriftKind if kind != DriftKind.FOREIGN])
def test_a_kind_says_what_it_means_and_what_its_fix_does(viewer, kind):
    DriftFactory(kind=kind)

    words = parse(viewer.get(URL).content).by_id(f"kind-{kind.value}").one("th").text

    assert kind.label in words
    assert MEANINGS[kind].meaning in words
    assert MEANINGS[kind].consequence in words


def test_a_left_over_directory_links_to_its_host(viewer):
    row = DriftFactory(leftover=True)

    link = parse(viewer.get(URL).content).by_id(f"open-{row.pk}")

    assert link["href"] == row.host.get_absolute_url()


def test_what_has_not_lasted_is_shown_on_request_only(viewer):
    news = DriftFactory(since=NOW - timedelta(seconds=59))

    page = parse(viewer.get(URL).content)

    assert page.by_id("under-way").text == "1 under way"
    assert (shown(viewer), shown(viewer, all="1")) == ([], [news.pk])


def test_what_lasted_a_minute_is_shown(viewer):
    row = DriftFactory(since=NOW - timedelta(seconds=60))

    assert shown(viewer) == [row.pk]


def test_somebody_elses_runners_are_counted_apart(viewer):
    ghost, theirs = DriftFactory(), DriftFactory(foreign=True)

    page = parse(viewer.get(URL).content)

    assert page.by_id("drift-chips").all("a")[0].text == "All 1"
    assert page.by_id("foreign-chip").text == "Not ours 1"
    assert (shown(viewer), shown(viewer, kind="foreign")) == ([ghost.pk], [theirs.pk])


def test_an_adopted_runner_counts_as_ours(viewer):
    row = DriftFactory(foreign=True, adopted_at=NOW)

    page = parse(viewer.get(URL).content)

    assert shown(viewer) == [row.pk]
    assert page.by_id("foreign-chip").text == "Not ours 0"


def test_chips_count_each_kind(viewer):
    DriftFactory.create_batch(2)
    DriftFactory(leftover=True)

    chips = [
        chip.text for chip in parse(viewer.get(URL).content).by_id("drift-chips").all(class_="chip")
    ]

    assert chips == ["All 3", "Ghost registration 2", "Left over on a host 1", "Not ours 0"]


def test_kind_scope_and_search_narrow(viewer):
    ghost = DriftFactory(name="ci-old", scope=ScopeFactory(slug="acme"))
    leftover = DriftFactory(leftover=True)

    assert shown(viewer, kind="leftover") == [leftover.pk]
    assert shown(viewer, scope="acme") == [ghost.pk]
    assert shown(viewer, q="CI-") == [ghost.pk]
    assert shown(viewer, q=leftover.host.name) == [leftover.pk]
    assert shown(viewer, host=leftover.host.name) == [leftover.pk]


@pytest.mark.parametrize("query", [{"kind": "nonsense"}, {"scope": "nobody"}, {"page": "x"}])
def test_nonsense_narrows_nothing(viewer, query):
    row = DriftFactory()

    assert shown(viewer, **query) == [row.pk]


def test_filters_stay_in_the_address_that_polls(viewer):
    DriftFactory()

    live = parse(viewer.get(URL, {"q": "left", "all": "1"}).content).by_id("drift")

    assert live["hx-get"] == f"{URL}?q=left&all=1"


def test_no_drift_says_what_that_means(viewer):
    assert "Everything agrees" in parse(viewer.get(URL).content).by_id("drift").text


def test_no_match_is_told_from_no_drift(viewer):
    DriftFactory()

    assert "No mismatch fits" in parse(viewer.get(URL, {"q": "zzz"}).content).by_id("drift").text


def test_a_scope_github_cannot_be_read_for_is_called_unknown(viewer):
    since = NOW - timedelta(minutes=20)
    scope = ScopeFactory(slug="acme", github_unknown_since=since, github_seen_at=since)

    page = parse(viewer.get(URL).content)

    notice = page.by_id(f"unknown-{scope.pk}").text
    assert notice.startswith("GitHub unknown for acme since 20 min ago .")
    assert "nothing is stopped or deleted" in notice
    assert "Everything agrees" not in page.by_id("drift").text


def test_the_navigation_counts_what_lasts_and_is_ours(viewer):
    DriftFactory.create_batch(2)
    DriftFactory(foreign=True)
    DriftFactory(since=NOW)

    assert parse(viewer.get(reverse("overview")).content).by_id("count-drift").text == "2"


@pytest.mark.parametrize("count", [3, 300])
def test_the_page_costs_the_same_however_much_drift(viewer, django_assert_num_queries, count):
    scope, host = ScopeFactory(), HostFactory()
    DriftFactory.create_batch(count, scope=scope, host=host)

    with django_assert_num_queries(11):
        viewer.get(URL)


def test_an_unchanged_page_is_204_in_two_queries(viewer, django_assert_num_queries):
    DriftFactory()
    version = parse(viewer.get(URL).content).by_id("drift")["data-version"]

    with django_assert_num_queries(2):
        response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 204


CHANGES = {
    "a new one": lambda: DriftFactory(),
    "one gone": lambda: Drift.objects.all().delete(),
    "one that lasted": lambda: Drift.objects.update(since=NOW),
    "a fix asked for": lambda: Drift.objects.update(fix_wanted_at=NOW),
    "a refusal": lambda: Drift.objects.update(fix_error="Busy"),
    "an outage": lambda: ScopeFactory(github_unknown_since=NOW),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changed_is_sent_anew(viewer, change):
    DriftFactory()
    version = parse(viewer.get(URL).content).by_id("drift")["data-version"]

    CHANGES[change]()
    response = viewer.get(URL, headers={**HTMX, "X-Fleet-Version": version})

    assert response.status_code == 200


# Fixing


def test_a_viewer_sees_no_way_to_act(viewer):
    row = DriftFactory()

    page = parse(viewer.get(URL).content)

    assert not page.by_id(f"drift-{row.pk}").all("input")
    assert not page.all(id=f"fix-{row.pk}")
    assert not page.all(id="bulk")


def test_a_fix_tells_its_consequence_first(operator):
    row = DriftFactory(name="left-behind")

    response = operator.get(FIX, {"ids": row.pk})

    page = parse(response.content)
    assert page.one("h1").text == "Ghost registration: deregister it?"
    assert "left-behind. It is deleted at GitHub." in page.one("main").text
    assert Drift.objects.get().fix_wanted_at is None


def test_a_question_posted_unconfirmed_is_asked(operator):
    row = DriftFactory()

    operator.post(FIX, {"ids": [row.pk]})

    assert Drift.objects.get().fix_wanted_at is None


def test_a_confirmed_fix_is_wanted_and_recorded(operator):
    row = DriftFactory()

    response = operator.post(FIX, {"ids": [row.pk], "confirmed": "yes", "reason": "Tidy"})

    row.refresh_from_db()
    event = Event.objects.get(action="drift.fix")
    assert (response["Location"], row.fix_wanted_at) == (URL, NOW)
    assert (event.became, event.reason) == ("Deregister it", "Tidy")


def test_the_selected_are_fixed_together(operator):
    first, second, other = DriftFactory(), DriftFactory(leftover=True), DriftFactory()

    operator.post(FIX, {"ids": [first.pk, second.pk], "confirmed": "yes"})

    asked = set(Drift.objects.filter(fix_wanted_at=NOW).values_list("pk", flat=True))
    assert asked == {first.pk, second.pk}
    assert other.pk not in asked


def test_a_question_about_several_kinds_tells_each_consequence(operator):
    rows = [DriftFactory(), DriftFactory(leftover=True)]

    text = parse(operator.get(FIX, {"ids": [row.pk for row in rows]}).content).one("main").text

    assert "Ghost registration (1): It is deleted at GitHub." in text
    assert "Left over on a host (1): The host ends the process" in text


def test_a_left_over_directory_goes_on_its_hosts_list(operator):
    row = DriftFactory(leftover=True, detail={"name": "slot-9"})

    operator.post(FIX, {"ids": [row.pk], "confirmed": "yes"})

    assert Host.objects.get().leftovers_to_clean == ["slot-9"]


def test_a_fix_by_script_answers_the_list_with_its_filters(operator):
    row = DriftFactory()
    DriftFactory(leftover=True)
    address = f"http://testserver{URL}?kind=ghost"

    response = operator.post(
        FIX,
        {"ids": [row.pk], "confirmed": "yes"},
        headers={**HTMX, "HX-Current-URL": address},
    )

    page = parse(response.content)
    assert "Asked 0 s ago" in page.by_id(f"drift-{row.pk}").text
    assert not page.all(id="kind-leftover")


def test_without_script_the_filters_are_kept(operator):
    row = DriftFactory()

    response = operator.post(f"{FIX}?kind=ghost", {"ids": [row.pk], "confirmed": "yes"})

    assert response["Location"] == f"{URL}?kind=ghost"


@pytest.mark.parametrize(
    ("ids", "words"), [([], "Tick at least one"), (["999999"], "gone"), (["9" * 40, "x"], "Tick")]
)
def test_nothing_to_fix_is_refused(operator, ids, words):
    response = operator.post(FIX, {"ids": ids, "confirmed": "yes"})

    assert response.status_code == 409
    assert words in parse(response.content).one("main").text


def test_what_went_meanwhile_is_told(operator):
    row = DriftFactory()

    response = operator.post(FIX, {"ids": [row.pk, 999999], "confirmed": "yes"}, headers=HTMX)

    assert "1 mismatch will be mended. 1 had gone by itself." in parse(response.content).text


def test_what_github_refused_says_why_and_may_be_asked_again(operator):
    row = DriftFactory(fix_wanted_at=NOW, fix_error="GitHub counts a job on it.")

    page = parse(operator.get(URL).content)

    assert "GitHub counts a job on it." in page.by_id(f"drift-{row.pk}").text
    assert page.by_id(f"fix-{row.pk}").text == "Deregister it…"


def test_somebody_elses_runner_is_not_fixed(operator):
    row = DriftFactory(foreign=True)

    response = operator.post(FIX, {"ids": [row.pk], "confirmed": "yes"})

    assert response.status_code == 409
    assert Drift.objects.get().fix_wanted_at is None


# Adopting


def test_somebody_elses_runner_offers_adoption_only(operator):
    row = DriftFactory(foreign=True)

    page = parse(operator.get(URL, {"kind": "foreign"}).content)

    assert page.by_id(f"adopt-{row.pk}").text == "Adopt…"
    assert not page.all(id=f"fix-{row.pk}")
    assert not page.all(id=f"tick-{row.pk}")


def test_adoption_needs_a_reason(operator):
    row = DriftFactory(foreign=True)
    url = reverse("drift-adopt", args=[row.pk])

    assert operator.get(url).status_code == 200
    assert operator.post(url, {"reason": " "}).status_code == 422
    assert Drift.objects.get().adopted_at is None


def test_adoption_makes_it_ours_to_clean_and_deletes_nothing(operator):
    row = DriftFactory(foreign=True)

    operator.post(reverse("drift-adopt", args=[row.pk]), {"reason": "The old tool is gone"})

    row.refresh_from_db()
    assert (row.adopted_at, row.fix_wanted_at) == (NOW, None)
    assert Event.objects.get(action="drift.adopt").reason == "The old tool is gone"


def test_a_ghost_cannot_be_adopted(operator):
    row = DriftFactory()

    response = operator.post(reverse("drift-adopt", args=[row.pk]), {"reason": "x"})

    assert response.status_code == 409


# What mends itself


def test_an_admin_chooses_what_mends_itself(sign_in):
    sign_in("admin").post(AUTO, {"kinds": ["ghost", "wrong-version"]})

    assert drift.auto_kinds() == {DriftKind.GHOST, DriftKind.WRONG_VERSION}


def test_every_kind_may_be_switched_off(sign_in):
    sign_in("admin").post(AUTO, {})

    assert Fleet.objects.get().auto_fix == []


def test_somebody_elses_runners_never_mend_themselves(sign_in):
    response = sign_in("admin").post(AUTO, {"kinds": ["foreign"]})

    assert response.status_code == 409
    assert DriftKind.FOREIGN not in drift.auto_kinds()


@pytest.mark.parametrize(("role", "forms"), [("operator", 0), ("admin", 1)])
def test_only_an_admin_is_offered_the_switches(sign_in, role, forms):
    card = parse(sign_in(role).get(URL).content).by_id("auto")

    assert len(card.all("form")) == forms
    assert all(box.has("disabled") != bool(forms) for box in card.all(name="kinds"))


def test_the_switches_show_what_is_on(sign_in):
    boxes = parse(sign_in("admin").get(URL).content).by_id("auto").all(name="kinds")

    on = {box["value"] for box in boxes if box.has("checked")}
    assert on == {kind.value for kind in drift.auto_kinds()}
    assert "foreign" not in {box["value"] for box in boxes}


# Ghosts


def previewed(client, **query):
    rows = parse(client.get(GHOSTS, query).content).by_id("ghosts").one("tbody").all("tr")
    return [int(row["id"].removeprefix("ghost-")) for row in rows]


def test_the_preview_is_exactly_what_the_form_would_delete(operator):
    ghosts = DriftFactory.create_batch(3)

    page = parse(operator.get(GHOSTS).content).by_id("ghosts")

    hidden = [int(box["value"]) for box in page.all("input", name="ids")]
    assert hidden == previewed(operator) == [ghost.pk for ghost in ghosts]
    assert page.one("button").text == "Delete 3 ghosts at GitHub"


def test_the_preview_is_narrowed_by_name_scope_and_age(operator):
    scope = ScopeFactory()
    old = DriftFactory(name="CI-1", scope=scope, since=NOW - timedelta(days=8))
    young = DriftFactory(name="ci-2", scope=scope)
    other = DriftFactory(name="web-1")

    assert previewed(operator, name="ci-*") == [old.pk, young.pk]
    assert previewed(operator, scope=other.scope_id) == [other.pk]
    assert previewed(operator, age="168", name="ci-?") == [old.pk]


@pytest.mark.parametrize(
    "facts",
    [
        {"online": True},
        {"detail": {"online": False, "busy": True}},
        {"foreign": True},
        {"leftover": True},
        {"since": NOW - timedelta(seconds=59)},
        {"fix_wanted_at": NOW},
    ],
)
def test_the_preview_leaves_out_what_is_no_offline_ghost(operator, facts):
    DriftFactory(**facts)

    assert not parse(operator.get(GHOSTS).content).by_id("ghosts").all("form")


def test_an_adopted_runner_may_be_cleaned_up(operator):
    row = DriftFactory(foreign=True, adopted_at=NOW)

    assert previewed(operator) == [row.pk]


def test_clean_up_asks_for_exactly_the_previewed_ones(operator):
    ghost, other = DriftFactory.create_batch(2)

    operator.post(GHOSTS, {"ids": [ghost.pk], "confirmed": "yes", "reason": "Tidy"})

    assert list(Drift.objects.filter(fix_wanted_at=NOW)) == [ghost]
    assert Event.objects.get().reason == "Tidy"
    other.refresh_from_db()
    assert other.fix_wanted_at is None


def test_clean_up_leaves_alone_what_came_online_since(operator):
    ghost = DriftFactory()
    back = DriftFactory(online=True)

    response = operator.post(GHOSTS, {"ids": [ghost.pk, back.pk], "confirmed": "yes"}, headers=HTMX)

    assert "1 left alone: gone, online or busy since." in parse(response.content).text
    assert Drift.objects.get(pk=back.pk).fix_wanted_at is None


def test_clean_up_of_nothing_is_refused(operator):
    assert operator.post(GHOSTS, {"confirmed": "yes"}).status_code == 409


@pytest.mark.parametrize("query", [{"scope": "999999"}, {"age": "x"}, {"scope": "x"}])
def test_a_filter_that_does_not_exist_shows_an_error_and_no_ghost(operator, query):
    DriftFactory()

    page = parse(operator.get(GHOSTS, query).content)

    assert page.all(class_="error")
    assert not page.by_id("ghosts").all("form")


@pytest.mark.parametrize("count", [3, 300])
def test_the_preview_costs_the_same_however_many(operator, django_assert_num_queries, count):
    DriftFactory.create_batch(count, scope=ScopeFactory())

    with django_assert_num_queries(8):
        operator.get(GHOSTS)


def test_a_runners_page_names_its_drift_with_the_way_there(viewer):
    row = of_runner()
    of_runner("labels", since=NOW)

    line = parse(viewer.get(row.runner.get_absolute_url()).content).by_id("runner-drift")

    assert line.text == "Process alive, GitHub says offline. Open drift"
    assert line.one("a")["href"] == f"{URL}?q={row.runner.name}"


def test_a_runner_without_drift_says_nothing_of_it(viewer):
    page = parse(viewer.get(RunnerFactory().get_absolute_url()).content)

    assert not page.all(id="runner-drift")
