"""Hosts, provisioning, set-up and settings in a real Chromium, with script and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib.resources import files

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from runners import audit, pools
from runners.audit import Actor
from runners.models import EnrolmentCode, Host, JobDay, Pool, Runner, Sample
from runners.pool_picture import Rules
from tests.chromium import needs_chromium, started_chromium
from tests.factories import (
    NOW,
    CredentialFactory,
    DriftFactory,
    HostFactory,
    JobFactory,
    PoolFactory,
    RunnerFactory,
    ScopeFactory,
    UserFactory,
)

# Longer than a tick of live data, shorter than anybody's patience.
DEADLINE_MS = 15_000

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    needs_chromium,
]

Open = Callable[..., Page]
LONG = "a-name-in-one-long-piece-" * 2


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
    """Open an address as a fresh admin; fails the test on any complaint of the browser."""
    complaints: list[str] = []
    contexts = []

    def open_page(path: str, *, width: int = 1440, script: bool = True) -> Page:
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
        page.goto(f"{reverse('login')}?next={path}")
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password", exact=True).fill("correct horse battery")
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"**{path}")
        return page

    yield open_page
    # Taken before the tabs close: a poll cut off by that is nobody's fault.
    # Chromium notes every answer of 4xx by itself; what was answered is the tests' business.
    told = [text for text in complaints if not text.startswith("Failed to load resource")]
    for context in contexts:
        context.close()
    assert told == []


def a_full_fleet() -> list[str]:
    """Rows with long names everywhere; returns the address of every page that shows them."""
    credential = CredentialFactory(name=LONG, verdict="invalid", verdict_message=f"{LONG} " * 3)
    scope = ScopeFactory(slug=f"acme/{LONG}", credential=credential, github_error=LONG)
    pool = PoolFactory(name="linux-x64-with-a-long-name", scope=scope, labels=[LONG, "linux"])
    host = HostFactory(name="forge-with-quite-a-long-name", slots=12, posing=True, gpu=True)
    runner = RunnerFactory(host=host, pool=pool, scope=scope, busy=True, job_name=LONG)
    kept = RunnerFactory(host=host, slot=2, scope=scope, ephemeral=False)
    HostFactory(name="silent", offline=True)
    job = JobFactory(name=LONG, repository=f"acme/{LONG}", scope=scope, labels=[LONG, "linux"])
    DriftFactory(name=LONG, scope=scope, host=host, observed=LONG, github=LONG)
    DriftFactory(name=LONG, scope=scope, fix_error=LONG * 3, fix_wanted_at=NOW)
    CredentialFactory(name=f"{LONG}-ends", expires_at=NOW)
    for minute in range(30):
        Sample.objects.create(
            host=host,
            at=NOW - timedelta(minutes=minute),
            cpu_percent=50,
            memory_used_bytes=1,
            disk_used_bytes=1,
        )
    audit.record(runner, "runner.failed", by=Actor.system(LONG), at=NOW, reason=f"{LONG} " * 4)
    JobFactory(name=LONG, repository=f"acme/{LONG}", scope=scope, labels=[f"{LONG}-no", "linux"])
    JobDay.objects.create(kind=JobDay.Kind.LABELS, key=f"{LONG},linux", day=NOW.date(), jobs=7)
    pools.scale(Rules(), now=NOW, by=Actor.system("pools"))
    return [
        "/",
        "/setup/",
        "/runners/",
        runner.get_absolute_url(),
        f"{runner.get_absolute_url()}deregister/",
        f"{kept.get_absolute_url()}labels/",
        "/hosts/",
        "/hosts/new/",
        host.get_absolute_url(),
        f"{host.get_absolute_url()}drain/",
        "/runners/new/",
        "/pools/",
        "/pools/new/",
        pool.get_absolute_url(),
        f"{pool.get_absolute_url()}edit/",
        "/decisions/?all=1",
        "/jobs/",
        "/jobs/queue/",
        "/jobs/coverage/",
        job.get_absolute_url(),
        "/drift/",
        "/drift/ghosts/",
        "/countdowns/",
        "/audit/",
        "/settings/scopes/",
        scope.get_absolute_url(),
        "/settings/scopes/new/",
        "/settings/credentials/",
        "/settings/credentials/new/",
        "/settings/codes/",
        "/settings/members/",
        "/settings/members/new/",
        "/settings/environment/",
    ]


UNNAMED = """() => [...document.querySelectorAll(
    'input:not([type=hidden]), select, textarea, button, a[href], summary')]
  .filter((control) => control.checkVisibility())
  .filter((control) => !(control.labels?.length || control.getAttribute('aria-label')
    || control.textContent.trim() || control.title))
  .map((control) => control.outerHTML.slice(0, 120))"""
DOUBLE_IDS = """() => {
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  return ids.filter((id, place) => ids.indexOf(id) !== place);
}"""


WIDTHS = (1440, 390, 320)
AXE = (files("axe_playwright_python") / "axe.min.js").read_text(encoding="utf-8")
EVERY_RULE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
RULES_OF_SIZE_AND_THEME = ["color-contrast", "target-size"]
RUN_AXE = """async (rules) => {
  await document.fonts.ready;
  // A colour on its way to the other theme is nobody's contrast
  const onTheirWay = document.getAnimations().filter((each) => each instanceof CSSTransition);
  await Promise.allSettled(onTheirWay.map((each) => each.finished));
  const found = await axe.run(document, {runOnly: rules, resultTypes: ["violations"]});
  return found.violations.map(({id, nodes}) => `${id}: ${nodes[0].html.slice(0, 200)}`);
}"""


def what_axe_finds(page: Page, rules: list[str] = EVERY_RULE) -> list[str]:
    """The violations of WCAG 2.2 AA and of good practice, each with the first thing that has it."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found: list[str] = page.evaluate(RUN_AXE, rules)
    return found


def what_is_wrong(page: Page) -> list[str]:
    """Everything that keeps the open page from somebody: wide and light, narrow and dark."""
    page.emulate_media(color_scheme="light")
    wrong = [
        f"too wide at {width}: {sticks_out}"
        for width in WIDTHS
        if (sticks_out := what_sticks_out(page, width))
    ]
    page.set_viewport_size({"width": WIDTHS[0], "height": 900})
    if page.locator("h1").count() != 1:
        wrong.append("not one heading")
    wrong += [f"no name: {control}" for control in page.evaluate(UNNAMED)]
    wrong += [f"twice: {double}" for double in page.evaluate(DOUBLE_IDS)]
    wrong += what_axe_finds(page)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": WIDTHS[1], "height": 844})
    wrong += [f"in the dark: {each}" for each in what_axe_finds(page, RULES_OF_SIZE_AND_THEME)]
    return wrong


STICKS_OUT = """async () => {
  const width = document.documentElement.clientWidth;
  await document.fonts.ready;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.body.querySelectorAll('*')]
    .filter((element) => element.getBoundingClientRect().right > width)
    .map((element) => element.cloneNode().outerHTML.slice(0, 120));
}"""


def what_sticks_out(page: Page, width: int) -> list[str]:
    """What makes a page scroll sideways, from the outside in."""
    page.set_viewport_size({"width": width, "height": 900})
    found: list[str] = page.evaluate(STICKS_OUT)
    return found


@pytest.mark.timeout(900)
def test_every_page_is_for_everybody(open_page):
    addresses = a_full_fleet()
    page = open_page("/hosts/")

    found = {}
    for address in addresses:
        page.goto(address)
        found[address] = what_is_wrong(page)

    assert {address: wrong for address, wrong in found.items() if wrong} == {}


def test_a_fleet_without_anything_is_for_everybody(open_page):
    addresses = ["/", "/setup/", "/runners/", "/hosts/", "/pools/", "/settings/credentials/"]
    page = open_page("/")

    found = {}
    for address in addresses:
        page.goto(address)
        found[address] = what_is_wrong(page)
    page.context.clear_cookies()
    page.goto(reverse("login"))
    found["signed out"] = what_is_wrong(page)

    assert {address: wrong for address, wrong in found.items() if wrong} == {}


def test_dialogs_are_for_everybody(open_page):
    runner = RunnerFactory()
    page = open_page("/runners/")

    page.get_by_role("banner").get_by_role("link", name="Provision").click()
    expect(page.get_by_role("dialog", name="Provision runners")).to_be_visible()
    assert what_axe_finds(page) == []
    page.keyboard.press("Escape")

    page.locator(f"#menu-{runner.pk}").click()
    page.locator(f"#runner-{runner.pk}").get_by_role("link", name="Deregister").click()
    expect(page.get_by_role("dialog", name="Deregister")).to_be_visible()
    assert what_axe_finds(page) == []
    page.keyboard.press("Escape")

    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog", name="Search")).to_be_visible()
    assert what_axe_finds(page) == []


# Provisioning


def test_the_preview_follows_the_form_and_the_dialog_stays(open_page):
    HostFactory(name="forge-01", slots=4)
    ScopeFactory()
    page = open_page("/hosts/")

    page.get_by_role("link", name="Provision", exact=True).click()
    dialog = page.get_by_role("dialog", name="Provision runners")
    dialog.get_by_label("How many").fill("3")

    expect(dialog.locator("#placement [data-state=ghost]")).to_have_count(3)
    expect(dialog).to_be_visible()


def test_a_refusal_keeps_the_dialog_and_what_was_entered(open_page):
    HostFactory(slots=1)
    ScopeFactory()
    page = open_page("/hosts/")
    page.get_by_role("link", name="Provision", exact=True).click()
    dialog = page.get_by_role("dialog", name="Provision runners")
    dialog.get_by_label("Labels").fill("self-hosted, kept")
    dialog.get_by_label("How many").fill("9")

    dialog.get_by_role("button", name="Provision", exact=True).click()

    expect(dialog.locator("form > .dialog__cols .callout").first).to_contain_text("too few free")
    expect(dialog.get_by_label("Labels")).to_have_value("self-hosted, kept")


def test_an_order_leaves_the_dialog_for_the_runners(open_page):
    HostFactory()
    ScopeFactory()
    page = open_page("/hosts/")
    page.get_by_role("link", name="Provision", exact=True).click()

    dialog = page.get_by_role("dialog", name="Provision runners")
    dialog.get_by_role("button", name="One more").click()
    dialog.get_by_role("button", name="Provision", exact=True).click()

    page.wait_for_url("**/runners/")
    expect(page.get_by_role("status").filter(has_text="2 runners on the way")).to_be_visible()


# Hosts


def test_cordon_shows_at_once_and_is_undone_from_the_toast(open_page):
    host = HostFactory()
    page = open_page(host.get_absolute_url())

    page.get_by_role("button", name="Cordon").click()
    expect(page.locator("#host-page .pill").first).to_have_text("Cordoned")
    page.get_by_role("button", name="Undo").click()

    expect(page.locator("#host-page .pill").first).to_have_text("Online")


def test_the_actions_of_a_host_stand_in_one_line_on_a_phone(open_page):
    page = open_page(HostFactory().get_absolute_url(), width=390)

    first, menu = page.locator("#host-provision"), page.locator("#host-more")
    assert first.bounding_box()["y"] == menu.bounding_box()["y"]


def test_a_drain_asks_in_a_dialog_and_answers_on_the_page(open_page):
    host = HostFactory()
    runner = RunnerFactory(host=host)
    page = open_page(host.get_absolute_url())

    page.get_by_role("link", name="Drain…").click()
    dialog = page.get_by_role("dialog", name=f"Drain {host.name}?")
    dialog.get_by_label("Reason").fill("Kernel update")
    dialog.get_by_role("button", name=f"Drain {host.name}").click()

    expect(page.locator("#host-page .pill").first).to_have_text("Draining")
    expect(dialog).to_be_hidden()
    assert Runner.objects.get(pk=runner.pk).state == "draining"


def test_the_page_flips_by_itself_when_the_heartbeat_arrives(open_page):
    page = open_page("/hosts/new/")
    page.get_by_label("Name").fill("forge-01")
    page.get_by_role("button", name="Make the command").click()
    expect(page.get_by_text("Waiting for the first heartbeat")).to_be_visible()

    host = HostFactory(name="forge-01", enrolling=True)
    EnrolmentCode.objects.update(host=host, used_at=NOW)
    expect(page.get_by_text("forge-01 enrolled.")).to_be_visible()
    Host.objects.update(
        last_seen_at=NOW,
        late_after=NOW + timedelta(minutes=1),
        offline_after=NOW + timedelta(minutes=2),
    )

    expect(page.get_by_text("forge-01 is connected.")).to_be_visible()
    expect(page.locator("#join-command")).to_be_visible()
    expect(page.locator("#count-hosts")).to_have_text("1")


def test_the_set_up_moves_on_as_a_whole_when_the_heartbeat_arrives(open_page):
    ScopeFactory()
    page = open_page("/setup/")
    page.get_by_role("button", name="Make the command").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Add your first host.")

    EnrolmentCode.objects.update(host=HostFactory(name="forge-01"), used_at=NOW)

    expect(page.get_by_role("heading", level=1)).to_have_text("Provision a runner.")
    expect(page.locator(".setup__art")).to_contain_text("forge-01")
    expect(page.locator("#count-hosts")).to_have_text("1")
    expect(page.locator("#announcer")).to_contain_text("forge-01 is connected.")


@pytest.mark.parametrize("width", [390, 1440])
def test_the_copy_button_covers_nothing_of_the_command(open_page, width):
    page = open_page("/hosts/new/", width=width)
    page.get_by_role("button", name="Make the command").click()

    command = page.locator("#join-command")
    assert command.evaluate("pre => pre.scrollWidth <= pre.clientWidth")
    text, button = command.bounding_box(), page.get_by_role("button", name="Copy").bounding_box()
    assert text["x"] + text["width"] <= button["x"] or text["y"] + text["height"] <= button["y"]


def test_hosts_are_found_while_typing(open_page):
    HostFactory(name="forge-01")
    HostFactory(name="kiln-01")
    page = open_page("/hosts/")

    page.get_by_label("Search hosts").fill("kiln")

    expect(page.get_by_role("link", name="forge-01")).to_be_hidden()
    expect(page.get_by_role("link", name="kiln-01")).to_be_visible()
    assert page.url.endswith("/hosts/?q=kiln")


# Settings


def test_only_the_chosen_kinds_fields_are_in_view(open_page):
    page = open_page("/settings/credentials/new/")

    expect(page.get_by_label("Private key")).to_be_hidden()
    page.get_by_text("GitHub App", exact=True).click()

    expect(page.get_by_label("Private key")).to_be_visible()
    expect(page.get_by_label("Token", exact=True)).to_be_hidden()


def test_a_role_is_changed_in_place(open_page):
    member = UserFactory(username="lea", role="viewer")
    page = open_page("/settings/members/")

    page.get_by_label("Role of lea").select_option("operator")
    page.locator(f"#member-{member.pk}").get_by_role("button", name="Save").click()

    expect(page.get_by_role("status").filter(has_text="lea is operator now.")).to_be_visible()


# Without script


def test_hosts_are_cordoned_and_drained_without_script(open_page):
    host = HostFactory()
    page = open_page(host.get_absolute_url(), script=False)

    page.get_by_role("button", name="Cordon").click()
    expect(page.locator("#host-page .pill").first).to_have_text("Cordoned")
    page.get_by_role("link", name="Drain…").click()
    page.get_by_label("Reason").fill("Kernel update")
    page.get_by_role("button", name=f"Drain {host.name}").click()

    page.wait_for_url(f"**{host.get_absolute_url()}")
    expect(page.locator("#host-page .pill").first).to_have_text("Cordoned")


def test_runners_are_previewed_and_provisioned_without_script(open_page):
    HostFactory(name="forge-01")
    ScopeFactory()
    page = open_page("/runners/new/", script=False)

    page.get_by_label("Labels").fill("self-hosted, mine")
    page.get_by_role("button", name="Preview placement").click()
    expect(page.locator("#placement")).to_contain_text("mine")
    page.get_by_role("button", name="Provision", exact=True).click()

    expect(page.get_by_role("heading", level=1)).to_have_text(Runner.objects.get().name)


def test_a_pool_is_made_and_paused_without_script(open_page):
    ScopeFactory()
    page = open_page("/pools/new/", script=False)

    page.get_by_label("Name", exact=True).fill("linux-x64")
    page.get_by_role("button", name="Create pool").click()
    page.get_by_role("link", name="Pause…").click()
    page.get_by_label("Reason").fill("Driver update")
    page.get_by_role("button", name="Pause linux-x64").click()

    expect(page.locator("#pool-page .pill")).to_have_text("Paused")
    assert Pool.objects.get().paused_reason == "Driver update"


def a_pool_with_history() -> Pool:
    """A pool with a host and a job that ran on it two hours ago."""
    HostFactory()
    pool = PoolFactory(name="linux-x64", min_idle=1)
    at = NOW - timedelta(hours=2)
    JobFactory(scope=pool.scope, done=True, queued_at=at, started_at=at)
    return pool


def test_a_policy_is_tried_as_it_is_typed_and_then_saved(open_page):
    pool = a_pool_with_history()
    page = open_page(f"{pool.get_absolute_url()}edit/")

    page.get_by_label("Keep idle").fill("3")
    page.get_by_label("Keep idle").press("Tab")
    expect(page.locator("#preview-figures")).to_contain_text("as it is saved: 2")
    expect(page.get_by_role("row", name="Keep idle 1 3")).to_be_visible()
    page.get_by_label("Compare with").select_option("Preset lazy")
    expect(page.locator("#preview-figures")).to_contain_text("preset lazy:")
    page.get_by_label("Reason of the change").fill("Mornings are short")
    page.get_by_role("button", name="Save pool").click()

    expect(page.locator("#messages")).to_contain_text("linux-x64 is saved.")
    assert Pool.objects.get().min_idle == 3


def test_without_script_a_policy_is_tried_and_kept_in_the_form(open_page):
    pool = a_pool_with_history()
    page = open_page(f"{pool.get_absolute_url()}edit/", width=390, script=False)

    page.get_by_label("Keep idle").fill("3")
    page.get_by_role("button", name="Preview", exact=True).click()

    expect(page.locator("#preview-figures")).to_contain_text("as it is saved: 2")
    expect(page.get_by_label("Keep idle")).to_have_value("3")
    assert Pool.objects.get().min_idle == 1


def test_a_host_is_waited_for_without_script(open_page):
    page = open_page("/hosts/new/", script=False)
    page.get_by_role("button", name="Make the command").click()
    EnrolmentCode.objects.update(host=HostFactory(name="forge-01"), used_at=NOW)

    page.get_by_role("link", name="Look again").click()

    expect(page.get_by_text("forge-01 is connected.")).to_be_visible()


def test_the_ticked_hosts_are_drained_together_and_keep_their_ticks(open_page):
    first, second, other = HostFactory(), HostFactory(), HostFactory()
    runner = RunnerFactory(host=first)
    page = open_page(reverse("host-list"), width=390)

    for host in (first, second):
        page.locator(f"#tick-host-{host.pk}").check()
    bar = page.locator("#bulk")
    expect(bar.locator("b")).to_have_text("2 selected")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    bar.get_by_role("button", name="Drain").click()
    dialog = page.get_by_role("dialog", name="Drain 2 hosts?")
    dialog.get_by_label("Reason").fill("Kernel update")
    dialog.get_by_role("button", name="Drain 2 hosts").click()

    expect(page.locator(f"#host-{first.pk} .status")).to_have_text("Draining")
    expect(page.locator(f"#host-{second.pk} .status")).to_have_text("Cordoned")
    expect(page.locator(f"#host-{other.pk} .status")).to_have_text("Online")
    expect(page.locator(f"#tick-host-{first.pk}")).to_be_checked()
    runner.refresh_from_db()
    assert runner.state == "draining"


def test_a_round_begins_with_the_ticked_hosts_without_script(open_page):
    chosen, other = HostFactory(), HostFactory()
    page = open_page(reverse("host-list"), script=False)

    page.locator(f"#tick-host-{chosen.pk}").check()
    page.locator("#bulk").get_by_role("button", name="Maintenance").click()

    expect(page.locator(f"input[name=hosts][value='{chosen.pk}']")).to_be_checked()
    expect(page.locator(f"input[name=hosts][value='{other.pk}']")).not_to_be_checked()
