"""Drift in a real Chromium: fixed from the list with script, and all of it without."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from runners.models import Drift
from tests.chromium import needs_chromium, started_chromium
from tests.factories import NOW, DriftFactory, UserFactory

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
def open_drift(chromium: Browser, live_server: LiveServer) -> Iterator[Open]:
    """Open the drift page as an admin; fails the test on any complaint of the browser."""
    complaints: list[str] = []
    contexts = []

    def open_drift(*, width: int = 1440, script: bool = True) -> Page:
        UserFactory(username="ada", role="admin")
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=script,
            base_url=live_server.url,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(DEADLINE_MS)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text))
        page.goto(f"{reverse('login')}?next={reverse('drift-list')}")
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password", exact=True).fill("correct horse battery")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{reverse('drift-list')}")
        return page

    yield open_drift
    # Taken before the tabs close: a poll cut off by that is nobody's fault
    told = list(complaints)
    for context in contexts:
        context.close()
    assert told == []


def asked() -> int:
    return Drift.objects.filter(fix_wanted_at__isnull=False).count()


def test_the_ticked_are_fixed_in_a_dialog_and_the_list_follows(open_drift):
    rows = DriftFactory.create_batch(2)
    page = open_drift()

    page.locator("thead .check").check()
    page.get_by_role("button", name="Fix…", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Fix 2 mismatches").click()

    expect(page.locator(f"#drift-{rows[1].pk}")).to_contain_text("Asked")
    expect(page.get_by_role("dialog")).to_have_count(0)
    assert (asked(), page.url.endswith(reverse("drift-list"))) == (2, True)


def test_one_is_fixed_in_a_dialog_from_a_small_screen(open_drift):
    row = DriftFactory(name="a-name-in-one-long-piece-" * 2)
    page = open_drift(width=390)

    page.locator(f"#fix-{row.pk}").click()
    page.get_by_role("dialog").get_by_role("button", name="Deregister it").click()

    expect(page.locator(f"#drift-{row.pk}")).to_contain_text("Asked")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_without_script_one_is_fixed_and_one_adopted(open_drift):
    ghost, theirs = DriftFactory(), DriftFactory(foreign=True)
    page = open_drift(script=False)

    page.locator(f"#tick-{ghost.pk}").check()
    page.get_by_role("button", name="Fix…", exact=True).click()
    page.get_by_role("button", name="Deregister it").click()
    page.wait_for_url(f"**{reverse('drift-list')}")
    page.locator("#foreign-chip").click()
    page.locator(f"#adopt-{theirs.pk}").click()
    page.get_by_label("Reason").fill("The old tool is gone")
    page.get_by_role("button", name="Adopt for clean-up").click()
    page.wait_for_url(re.compile(r"kind=foreign"))

    theirs.refresh_from_db()
    assert (asked(), theirs.adopted_at) == (1, NOW)


def test_without_script_ghosts_are_previewed_and_deleted(open_drift):
    ghost = DriftFactory(name="ci-1")
    DriftFactory(name="web-1")
    page = open_drift(script=False)

    page.get_by_role("link", name="Clean up ghosts…").click()
    page.get_by_label("Name").fill("ci-*")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Delete 1 ghost at GitHub").click()
    page.wait_for_url(re.compile(r"ghosts/\?name=ci"))

    assert list(Drift.objects.filter(fix_wanted_at__isnull=False)) == [ghost]


def test_the_preview_follows_what_is_typed(open_drift):
    DriftFactory(name="ci-1")
    DriftFactory(name="web-1")
    page = open_drift()

    page.get_by_role("link", name="Clean up ghosts…").click()
    page.get_by_label("Name").fill("web-*")

    expect(page.get_by_role("button", name="Delete 1 ghost at GitHub")).to_be_visible()
    expect(page.locator("#ghosts")).not_to_contain_text("ci-1")
