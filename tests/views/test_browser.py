"""The scripts in a real Chromium: live data, dialogs, focus, filters, themes, and no script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from runners import lifecycle
from runners.audit import Actor
from runners.models import Runner
from tests.chromium import needs_chromium, started_chromium
from tests.factories import NOW, HostFactory, JobFactory, RunnerFactory, ScopeFactory, UserFactory

# Longer than a tick of live data, shorter than anybody's patience.
DEADLINE_MS = 15_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    # Playwright runs an event loop in this thread, which the ORM would take for asynchronous code
    with pytest.MonkeyPatch.context() as environment, started_chromium() as browser:
        environment.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "yes")
        yield browser


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's clock stands still."""
    monkeypatch.setattr("django.utils.timezone.now", lambda: NOW)


@pytest.fixture
def open_page(chromium: Browser, live_server: LiveServer) -> Iterator[Open]:
    """Open an address as a fresh operator; fails the test on any complaint of the browser."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str, *, width: int = 1440, script: bool = True) -> Page:
        UserFactory(username="otto", role="operator")
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=script,
            base_url=live_server.url,
        )
        contexts.append(context)
        context.clock.install()
        page = context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text))
        page.goto(f"{reverse('login')}?next={path}")
        page.get_by_label("Username").fill("otto")
        page.get_by_label("Password", exact=True).fill("correct horse battery")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    # Chromium notes every answer of 4xx by itself; what was answered is the tests' business
    assert [text for text in complaints if not text.startswith("Failed to load resource")] == []


def runners(count: int, **facts: object) -> list[Runner]:
    scope, host = ScopeFactory(), HostFactory(slots=max(count, 4))
    return [
        RunnerFactory(scope=scope, host=host, slot=slot + 1, name=f"runner-{slot}", **facts)
        for slot in range(count)
    ]


def drain(runner: Runner) -> None:
    lifecycle.drain(runner, by=Actor.system("a test"), reason="", now=NOW)


def let_a_tick_pass(page: Page) -> None:
    """Let the browser's clock run past the next poll at once."""
    page.clock.run_for(7_000)


def focused(page: Page) -> str:
    key: str = page.evaluate("document.activeElement.id")
    return key


def test_a_change_shows_by_itself_and_leaves_ticks_and_focus_alone(open_page):
    first, second = runners(2)
    page = open_page(reverse("runner-list"))
    page.get_by_label(f"Select {first.name}").check()
    page.get_by_role("link", name=first.name).focus()

    drain(second)
    let_a_tick_pass(page)

    expect(page.locator(f"#runner-{second.pk} .status")).to_have_text(
        "Draining", timeout=DEADLINE_MS
    )
    expect(page.get_by_label(f"Select {first.name}")).to_be_checked()
    expect(page.locator("#bulk b")).to_have_text("1 selected")
    assert focused(page) == f"open-{first.pk}"


def test_a_change_of_state_is_announced_once(open_page):
    [runner] = runners(1)
    page = open_page(runner.get_absolute_url())

    drain(runner)
    let_a_tick_pass(page)

    expect(page.locator("#announcer")).to_have_text(f"{runner.name}: Draining", timeout=DEADLINE_MS)


def test_nothing_is_fetched_while_a_menu_is_open(open_page):
    first, second = runners(2)
    page = open_page(reverse("runner-list"))
    page.locator(f"#menu-{first.pk}").click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    drain(second)
    let_a_tick_pass(page)

    assert asked == []


def test_live_updates_can_be_paused(open_page):
    runners(1)
    page = open_page(reverse("overview"))

    page.locator("[data-live-toggle]").click()

    expect(page.locator("[data-live-toggle]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-live-toggle]")).to_contain_text("Paused")


def test_draining_from_the_list_can_be_undone_from_the_toast(open_page):
    [runner] = runners(1)
    page = open_page(reverse("runner-list"))
    page.locator(f"#menu-{runner.pk}").click()
    page.locator(f"#runner-{runner.pk}").get_by_role("button", name="Drain").click()
    expect(page.locator(f"#runner-{runner.pk} .status")).to_have_text("Draining")

    page.locator("[data-toast]").get_by_role("button", name="Undo").click()

    expect(page.locator(f"#runner-{runner.pk} .status")).to_have_text("Idle")
    expect(page.locator("[data-toast]")).to_have_text(f"{runner.name} takes jobs again.")


def test_a_question_takes_the_focus_and_gives_it_back(open_page):
    [runner] = runners(1)
    page = open_page(reverse("runner-list"))
    page.locator(f"#menu-{runner.pk}").press("Enter")
    page.locator(f"#runner-{runner.pk}").get_by_role("link", name="Deregister").press("Enter")
    expect(page.get_by_label("When its job ends")).to_be_focused()

    page.keyboard.press("Escape")

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(f"#menu-{runner.pk}")).to_be_focused()


def test_a_wrong_answer_stays_in_the_dialog_and_the_right_one_closes_it(open_page):
    [runner] = runners(1, busy=True)
    page = open_page(runner.get_absolute_url())
    page.get_by_role("link", name="Deregister").click()
    page.get_by_label("Now, and its job fails").check()
    page.get_by_role("dialog").get_by_role("button", name="Deregister").click()
    expect(page.get_by_text("Say why: a job that runs now will fail.")).to_be_visible()

    page.get_by_label("Reason").fill("It hangs")
    page.get_by_label("To end its job now, type the runner's name").fill(runner.name)
    page.get_by_role("dialog").get_by_role("button", name="Deregister").click()

    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".pill")).to_have_text("Removing")


def test_the_ticked_runners_are_drained_together(open_page):
    first, second, third = runners(3)
    page = open_page(reverse("runner-list"))
    expect(page.locator("#bulk")).to_be_hidden()
    page.get_by_label("Select all on this page").check()
    page.get_by_label(f"Select {third.name}").uncheck()

    page.locator("#bulk").get_by_role("button", name="Drain").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain 2 runners").click()

    for runner in (first, second):
        expect(page.locator(f"#runner-{runner.pk} .status")).to_have_text("Draining")
    expect(page.locator(f"#runner-{third.pk} .status")).to_have_text("Idle")


def test_filters_apply_while_typing_and_stay_in_the_address(open_page):
    first, second = runners(2)
    page = open_page(reverse("runner-list"))

    page.get_by_label("Search runners").fill(second.name)

    expect(page.locator(f"#runner-{first.pk}")).to_have_count(0)
    expect(page).to_have_url(f"{page.url.partition('?')[0]}?q={second.name}")
    expect(page.get_by_label("Search runners")).to_be_focused()


def test_the_chosen_theme_stays(open_page):
    page = open_page(reverse("overview"))
    page.locator("h1").click()
    page.keyboard.press("t")
    chosen = page.evaluate("document.documentElement.dataset.theme")

    page.reload()

    assert page.evaluate("document.documentElement.dataset.theme") == chosen
    assert chosen in ("light", "dark")


def test_keys_lead_to_pages_and_can_be_switched_off(open_page):
    page = open_page(reverse("overview"))
    page.keyboard.press("g")
    page.keyboard.press("r")
    page.wait_for_url(f"**{reverse('runner-list')}")

    page.keyboard.press("?")
    page.get_by_label("Single-key shortcuts").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("?")

    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_palette_finds_runners(open_page):
    first, second = runners(2)
    page = open_page(reverse("overview"))
    page.keyboard.press("Control+k")

    page.keyboard.type(second.name)
    page.keyboard.press("Enter")

    expect(page.locator(f"#runner-{second.pk}")).to_be_visible()
    expect(page.locator(f"#runner-{first.pk}")).to_have_count(0)


def test_everything_works_without_script(open_page):
    first, second = runners(2)
    page = open_page(reverse("runner-list"), script=False)
    page.locator(f"#menu-{first.pk}").click()
    page.locator(f"#runner-{first.pk}").get_by_role("button", name="Drain").click()
    expect(page.locator(".pill")).to_have_text("Draining")

    page.goto(reverse("runner-list"))
    page.get_by_label(f"Select {second.name}").check()
    page.get_by_role("button", name="Deregister…").click()
    page.get_by_role("button", name="Deregister 1 runner").click()

    expect(page.locator(f"#runner-{second.pk} .status")).to_have_text("Draining")
    assert page.locator("[data-needs-js]:visible").count() == 0


@pytest.mark.parametrize("width", [320, 390, 1440])
def test_no_page_scrolls_sideways(open_page, width):
    [runner] = runners(1, busy=True, job_name="a-job-with-quite-a-long-name-in-one-piece " * 3)
    JobFactory(queued_at=NOW - timedelta(minutes=3), name="another-long-name-in-one-piece-" * 3)
    page = open_page(reverse("overview"), width=width)

    for path in ("", "runners/", f"runners/{runner.pk}/", f"runners/{runner.pk}/deregister/"):
        page.goto(f"/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
