"""The runners list: filters, chips, order, pages, and what each role may do in it."""

from datetime import timedelta

import pytest
from django.urls import reverse

from runners.states import DisplayState
from tests.factories import (
    NOW,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
)
from tests.views.conftest import HTMX
from tests.views.dom import parse

pytestmark = pytest.mark.django_db
URL = reverse("runner-list")


def names(client, query=""):
    page = parse(client.get(f"{URL}?{query}").content)
    return [link.text for link in page.all("a", class_="rowlink mono")]


def test_an_empty_list_offers_one_step(operator):
    page = parse(operator.get(URL).content)

    assert page.by_id("runners").one("h2").text == "No runner yet"
    assert page.by_id("runners").one("a", class_="btn is-primary")["href"] == reverse(
        "runner-provision"
    )


def test_a_viewer_of_an_empty_list_learns_who_can_fill_it(viewer):
    page = parse(viewer.get(URL).content)

    assert "An operator provisions runners" in page.by_id("runners").text
    assert page.by_id("runners").all("a", class_="btn is-primary") == []


def test_filters_that_match_nothing_can_be_cleared(viewer):
    RunnerFactory()

    page = parse(viewer.get(f"{URL}?q=nothing").content)

    assert page.by_id("runners").one("h2").text == "No runner matches"


def test_a_row_tells_state_name_host_and_doing(viewer):
    runner = RunnerFactory(busy=True, labels=["self-hosted", "linux", "gpu"])
    JobFactory(running=True, runner=runner, repository="acme/web", name="test (1/8)")

    row = parse(viewer.get(URL).content).by_id(f"runner-{runner.pk}")

    assert row.one("span", class_="status").text == "Busy"
    assert "ephemeral · gpu, linux" in row.text
    assert runner.host.name in row.text
    assert "acme/web · test (1/8) 40s" in row.text


@pytest.mark.parametrize(
    ("facts", "doing"),
    [
        ({}, "Waiting for a job"),
        ({"starting": True}, "Starting 11m 00s"),
        ({"new": True}, "Waiting for its host 11m 00s"),
        ({"busy": True}, "build 3m 00s"),
        ({"busy": True, "draining": True}, "build 3m 00s, then stops"),
        ({"draining": True}, "Leaving GitHub then stops"),
        ({"failed": True, "state_reason": "No space"}, "No space"),
        ({"github_status": "absent"}, "Not registered at GitHub"),
        ({"github_status": "offline"}, "GitHub says offline"),
        ({"phase": "exited", "github_status": "online"}, "Exited"),
        ({"removing": True, "state_reason": "Old"}, "Old"),
    ],
)
def test_every_state_says_what_the_runner_does(viewer, facts, doing):
    runner = RunnerFactory(**facts)

    row = parse(viewer.get(URL).content).by_id(f"runner-{runner.pk}")

    assert row.one("td", data_c="meta").text == doing


def test_what_a_silent_host_said_is_not_shown_as_known(viewer):
    runner = RunnerFactory(busy=True, cpu_percent=80, host=HostFactory(offline=True))

    row = parse(viewer.get(URL).content).by_id(f"runner-{runner.pk}")

    assert row.one("td", data_c="meta").text.startswith("Unknown: its host is silent")
    assert "80%" not in row.text


@pytest.mark.parametrize(
    "query",
    [
        "q=needle",
        "host=needle-host",
        "pool=needle-pool",
        "label=NEEDLE",
        "q=label:needle",
        "q=acme/needle",
        "mode=persistent",
        "state=busy",
        "state=busy&mode=persistent&q=needle",
    ],
)
def test_a_filter_keeps_only_what_it_names(viewer, query):
    RunnerFactory(name="other")
    found = RunnerFactory(
        name="needle-1",
        busy=True,
        persistent=True,
        host=HostFactory(name="needle-host"),
        pool=PoolFactory(name="needle-pool"),
        labels=["needle"],
    )
    JobFactory(running=True, runner=found, repository="acme/needle")

    assert names(viewer, query) == ["needle-1"]


@pytest.mark.parametrize("query", ["state=nonsense", "mode=nonsense", "sort=nonsense", "page=99"])
def test_a_parameter_that_means_nothing_is_ignored(viewer, query):
    RunnerFactory(name="shown")

    assert names(viewer, query) == ["shown"]


def test_removed_runners_are_kept_apart(viewer):
    RunnerFactory(name="gone", removed=True)
    RunnerFactory(name="here")

    assert names(viewer) == ["here"]
    assert names(viewer, "state=removed") == ["gone"]


def test_the_chips_count_what_the_other_filters_leave(viewer):
    RunnerFactory(name="a-1", busy=True)
    RunnerFactory(name="a-2")
    RunnerFactory(name="b-1")

    page = parse(viewer.get(f"{URL}?q=a-&state=busy").content)

    chips = page.by_id("runner-chips").all("a", class_="chip")
    assert [chip.text for chip in chips] == ["All 2", "Busy 1", "Idle 1"]
    assert [chip.text for chip in chips if chip.has("aria-current")] == ["Busy 1"]
    assert chips[2]["href"] == "?q=a-&state=idle"


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        ("name", ["a", "b", "c"]),
        ("-name", ["c", "b", "a"]),
        ("host", ["c", "a", "b"]),
        ("-cpu", ["b", "a", "c"]),
        ("age", ["c", "b", "a"]),
        ("state", ["a", "b", "c"]),
        ("-state", ["c", "b", "a"]),
    ],
)
def test_a_column_head_orders_the_rows(viewer, sort, order):
    early, late = NOW - timedelta(hours=2), NOW - timedelta(minutes=1)
    RunnerFactory(name="a", failed=True, host__name="h2", cpu_percent=10, created_at=early)
    RunnerFactory(name="b", busy=True, host__name="h3", cpu_percent=90)
    RunnerFactory(name="c", host__name="h1", created_at=late)

    assert names(viewer, f"sort={sort}") == order


def test_the_most_urgent_state_comes_first(viewer):
    facts: dict[DisplayState, dict[str, object]] = {
        DisplayState.LOST: {"host": HostFactory(offline=True)},
        DisplayState.FAILED: {"failed": True},
        DisplayState.OFFLINE: {"github_status": "offline"},
        DisplayState.STARTING: {"starting": True},
        DisplayState.DRAINING: {"draining": True},
        DisplayState.REMOVING: {"removing": True},
        DisplayState.BUSY: {"busy": True},
        DisplayState.IDLE: {},
    }
    for state, traits in reversed(facts.items()):
        RunnerFactory(name=state.value, **traits)

    assert names(viewer, "sort=state") == [state.value for state in facts]


def test_the_sorted_head_says_so_and_turns_round(viewer):
    RunnerFactory()

    page = parse(viewer.get(f"{URL}?sort=name").content)

    head = page.one("th", aria_sort="ascending")
    assert head.text == "Runner"
    assert head.one("a")["href"] == "?sort=-name"


def test_pages_hold_25_and_keep_the_filters(viewer):
    host = HostFactory(slots=30)
    scope = ScopeFactory()
    for slot in range(1, 31):
        RunnerFactory(host=host, scope=scope, slot=slot)

    page = parse(viewer.get(f"{URL}?q=linux").content)

    assert len(page.by_id("runners").one("tbody").all("tr")) == 25
    assert "1\N{EN DASH}25 of 30 runners" in page.text
    assert page.one("a", rel="next")["href"] == "?q=linux&page=2"
    assert len(names(viewer, "q=linux&page=2")) == 5


def test_a_viewer_finds_no_actions_and_one_word_of_who_can_help(viewer):
    RunnerFactory()

    page = parse(viewer.get(URL).content)

    assert page.one("main").all("form", method="post") == []
    assert page.one("main").all("input", type="checkbox") == []
    assert "need the role operator" in page.one("div", class_="callout").text


def test_an_operator_finds_the_actions_of_each_row_as_forms_and_links(operator):
    runner = RunnerFactory(persistent=True)

    row = parse(operator.get(URL).content).by_id(f"runner-{runner.pk}")

    form = row.one("form", method="post")
    assert form["action"] == form["hx-post"] == reverse("runner-drain", args=[runner.pk])
    for verb in ("labels", "deregister"):
        url = reverse(f"runner-{verb}", args=[runner.pk])
        assert row.one("a", href=url)["hx-get"] == url


@pytest.mark.parametrize(
    ("facts", "why_not"),
    [
        ({}, "Ephemeral: its labels are fixed."),
        ({"failed": True}, "It failed and takes no jobs. Deregister it."),
        ({"removing": True}, "It is being removed."),
        ({"removed": True}, "It was removed."),
    ],
)
def test_an_action_the_state_forbids_is_shown_with_the_reason(operator, facts, why_not):
    runner = RunnerFactory(**facts)

    page = parse(operator.get(f"{URL}?state={runner.state if facts else ''}").content)

    row = page.by_id(f"runner-{runner.pk}")
    assert why_not in [note.one("small").text for note in row.all("span", role="note")]


def test_a_fragment_is_only_the_table_and_says_what_varies_it(viewer):
    RunnerFactory()

    response = viewer.get(URL, headers=HTMX)

    fragment = parse(response.content)
    assert [child["id"] for child in fragment.children if not isinstance(child, str)] == ["runners"]
    assert "HX-Request" in response["Vary"]


def test_every_fetch_by_script_has_the_same_address_as_its_link(operator):
    RunnerFactory(persistent=True)

    page = parse(operator.get(URL).content)

    fetching = [element for element in page.all("a") if element.has("hx-get")]
    assert fetching
    assert all(element["hx-get"] == element["href"] for element in fetching)


@pytest.mark.parametrize("count", [3, 30])
def test_the_list_costs_the_same_queries_however_long(operator, django_assert_num_queries, count):
    scope = ScopeFactory()
    for _ in range(count):
        runner = RunnerFactory(scope=scope, busy=True)
        JobFactory(running=True, runner=runner, scope=scope)

    with django_assert_num_queries(15):
        operator.get(URL)
