"""A fleet's whole life through Chromium, clicking what a person clicks, from sign-in to empty.

Every page on the way is kept as a picture: `screens/` under FLEET_ARTIFACTS, else `artifacts/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, ViewportSize, expect

from tests.chromium import needs_chromium, started_chromium
from tests.e2e.fleet import Fleet, running_fleet
from tests.installation import ROOT, wait_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.browser,
    pytest.mark.timeout(600),
    needs_chromium,
]

# For what waits on a heartbeat, a round of the loop and a poll of the page, on a loaded machine.
DEADLINE_MS = 60_000
WIDE: ViewportSize = {"width": 1440, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
PERSON = "ada"
PASSWORD = "correct horse battery"
LABELS = "self-hosted, linux, x64"
VIOLATIONS_TO_CONSOLE = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`refused by the policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@dataclass
class Visit:
    """One person's tab, and all that was wrong with what it was served."""

    page: Page
    screens: Path
    complaints: list[str] = field(default_factory=list)
    hosts_asked: set[str] = field(default_factory=set)

    def watch(self, context: BrowserContext) -> None:
        """Note every complaint of the browser and everybody it talks to."""
        context.add_init_script(VIOLATIONS_TO_CONSOLE)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda line: self._note(line.type, line.text))
        self.page.on("request", lambda request: self.hosts_asked.add(_origin(request.url)))

    def _note(self, kind: str, text: str) -> None:
        # htmx says so when a page is left while it asks for news, which is nothing wrong
        abandoned = text.startswith(("htmx:sendAbort", "htmx:afterRequest"))
        if kind in ("error", "warning") and not abandoned:
            self.complaints.append(f"{self.page.url}: {text}")

    def picture(self, name: str) -> None:
        """Keep what the person sees now."""
        self.page.screenshot(path=self.screens / f"{name}.png", animations="disabled")

    def pictures(self, name: str) -> None:
        """Keep it wide, in the dark, and on a telephone."""
        self.picture(name)
        self.page.emulate_media(color_scheme="dark")
        self.picture(f"{name}-dark")
        self.page.set_viewport_size(NARROW)
        self.picture(f"{name}-narrow-dark")
        self.page.emulate_media(color_scheme="light")
        self.picture(f"{name}-narrow")
        self.page.set_viewport_size(WIDE)

    def go(self, section: str) -> None:
        """Click a section in the navigation; its entry may carry a count."""
        navigation = self.page.get_by_role("navigation", name="Main", exact=True)
        navigation.get_by_role("link", name=re.compile(rf"^{section}\b")).click()
        self.see_heading(section)

    def go_to_overview(self) -> None:
        """Click the overview; its heading is a sentence about the fleet."""
        navigation = self.page.get_by_role("navigation", name="Main", exact=True)
        navigation.get_by_role("link", name="Overview").click()
        expect(self.page.get_by_role("heading", name="Fleet")).to_be_visible()

    def see_heading(self, words: str | re.Pattern[str]) -> None:
        expect(self.page.get_by_role("heading", level=1, name=words)).to_be_visible()

    def row(self, *words: str) -> Locator:
        """The rows of the page's tables, without heads, that hold all these words."""
        found = self.page.get_by_role("row").filter(has=self.page.get_by_role("cell"))
        for part in words:
            found = found.filter(has_text=part)
        return found

    @contextmanager
    def without_reload(self) -> Iterator[None]:
        """What happens in the block happens in the same document."""
        before = self.page.evaluate("performance.timeOrigin")
        yield
        assert self.page.evaluate("performance.timeOrigin") == before


@pytest.fixture
def empty_fleet(tmp_path: Path, database_url: str) -> Iterator[Fleet]:
    """A simulator, and a control plane on its first day: one admin and nothing else."""
    with running_fleet(tmp_path, database_url, connected=False) as fleet:
        fleet.manage("create_fleet_user", PERSON, "--role", "admin", stdin=PASSWORD)
        yield fleet


@pytest.fixture
def visit(empty_fleet: Fleet) -> Iterator[Visit]:
    """A fresh browser; fails the test on any complaint, and for asking anybody but us."""
    screens = Path(os.environ.get("FLEET_ARTIFACTS") or ROOT / "artifacts") / "screens"
    screens.mkdir(parents=True, exist_ok=True)
    with started_chromium() as browser:
        context = browser.new_context(
            viewport=WIDE, color_scheme="light", base_url=empty_fleet.url, reduced_motion="reduce"
        )
        context.set_default_timeout(DEADLINE_MS)
        expect.set_options(timeout=DEADLINE_MS)
        visit = Visit(context.new_page(), screens)
        visit.watch(context)
        yield visit
        # What the person saw last: of a failed test, where it was stuck
        visit.picture("last")
    assert visit.complaints == []
    assert visit.hosts_asked == {empty_fleet.url}


def test_a_person_takes_an_empty_fleet_through_its_whole_life(empty_fleet: Fleet, visit: Visit):
    fleet = empty_fleet
    sign_in(visit)
    connect_github(visit, fleet)
    add_host(visit, fleet, "forge-01", slots=3)
    provision(visit, "forge-01", labels=f"{LABELS}, once", lifetime="One job", more=1)
    persistent = provision(visit, "forge-01", labels=f"{LABELS}, stays", lifetime="Until stopped")
    once = see_all_idle(visit, count=3) - {persistent}

    done = run_a_job(visit, fleet)
    assert done in once
    drain_while_busy(visit, fleet, persistent)

    [left] = once - {done}
    deregister(visit, left)
    see_nothing_left(visit, fleet)
    see_who_did_it(visit, persistent=persistent, left=left)


def sign_in(visit: Visit) -> None:
    page = visit.page
    page.goto("/")
    visit.picture("01-sign-in")
    page.get_by_label("Username").fill(PERSON)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    visit.see_heading(re.compile("No host yet"))
    visit.picture("02-overview-empty")
    page.get_by_role("link", name="Set up the fleet").click()


def connect_github(visit: Visit, fleet: Fleet) -> None:
    page = visit.page
    visit.see_heading("Connect GitHub.")
    visit.picture("03-connect-github")
    page.get_by_label("Organization, repository or enterprise").fill(fleet.scope_url)
    page.get_by_label("Token", exact=True).fill(fleet.token)
    page.get_by_role("button", name="Connect").click()

    visit.see_heading("Add your first host.")
    expect(page.get_by_role("list").filter(has_text="speaks for acme")).to_be_visible()
    verdict = fleet.installation.rows("SELECT verdict_message FROM runners_credential")[0][0]
    expect(page.get_by_role("main")).to_contain_text(verdict)
    assert fleet.token not in page.content()
    visit.picture("04-verdict")


def add_host(visit: Visit, fleet: Fleet, name: str, *, slots: int) -> None:
    page = visit.page
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Site").fill("here")
    page.get_by_label("Slots").fill(str(slots))
    page.get_by_role("button", name="Make the command").click()
    command = page.get_by_text("FLEET_ENROLMENT_CODE=").inner_text()
    expect(page.get_by_text("Waiting for the first heartbeat")).to_be_visible()
    visit.picture("05-host-command")
    code = re.search(r"FLEET_ENROLMENT_CODE=(\S+)", command)
    assert code is not None
    assert f"--server {fleet.url} --name {name}" in command

    with visit.without_reload():
        fleet.start_agent(name, code=code[1], slots=slots)
        expect(page.get_by_text(f"{name} is connected. ").first).to_be_visible()
    visit.picture("06-host-connected")
    page.get_by_role("link", name="Provision a runner").click()
    expect(page.get_by_role("heading", name="Provision runners")).to_be_visible()


def provision(visit: Visit, host: str, *, labels: str, lifetime: str, more: int = 0) -> str:
    """Fill in the order; returns the name of the runner whose page opens, "" when it made more."""
    page = visit.page
    if not page.get_by_role("heading", name="Provision runners").is_visible():
        page.get_by_role("banner").get_by_role("link", name="Provision").click()
    form = page.locator("form").filter(has=page.get_by_role("button", name="Provision", exact=True))
    form.get_by_label("Host").select_option(
        form.get_by_role("option", name=re.compile(f"^{host} ")).inner_text()
    )
    form.get_by_label("Labels").fill(labels)
    form.get_by_text(lifetime, exact=True).click()
    for _ in range(more):
        form.get_by_role("button", name="One more").click()
    last_label = labels.rpartition(", ")[2]
    expect(page.locator("#placement")).to_contain_text(last_label)
    visit.picture(f"07-provision-{last_label}")
    form.get_by_role("button", name="Provision", exact=True).click()
    count = more + 1
    said = f"{count} runner{'s' if more else ''} on the way on {host}."
    expect(page.get_by_role("status").filter(has_text=said)).to_be_visible()
    return "" if more else page.get_by_role("heading", level=1).inner_text()


def see_all_idle(visit: Visit, *, count: int) -> set[str]:
    """Wait until all runners are idle on the list; returns their names."""
    visit.go("Runners")
    with visit.without_reload():
        expect(visit.row("Idle")).to_have_count(count)
    visit.pictures("08-runners-idle")
    names = set(
        visit.row("Idle").get_by_role("link", name=re.compile("^forge-01-")).all_inner_texts()
    )
    visit.go_to_overview()
    visit.pictures("09-overview")
    visit.go("Runners")
    return names


def run_a_job(visit: Visit, fleet: Fleet) -> str:
    """Queue a job; see its runner busy with it, and the job done. Returns the runner's name."""
    page = visit.page
    gate = fleet.shared / "build.gate"
    with visit.without_reload():
        job = fleet.queue_job("build", wait_at(gate), labels=[*LABELS.split(", "), "once"])
        row = visit.row("Busy", "build")
        expect(row).to_be_visible()
    visit.pictures("10-runners-busy")
    name = row.get_by_role("link").first.inner_text()
    assert fleet.github_job(job)["runner_name"] == name
    row.get_by_role("link", name=name).click()
    visit.see_heading(name)
    expect(page.get_by_role("region", name="Current job")).to_contain_text("build")
    visit.picture("11-runner-busy")

    visit.go("Jobs")
    expect(visit.row("build", "Running", name)).to_be_visible()
    visit.picture("12-jobs-running")
    with visit.without_reload():
        gate.touch()
        expect(visit.row("build", "Success", name)).to_be_visible()
    visit.pictures("13-jobs-success")
    return name


def drain_while_busy(visit: Visit, fleet: Fleet, name: str) -> None:
    """Drain a runner from its own page while it works: the job ends well, then the runner goes."""
    page = visit.page
    gate = fleet.shared / "release.gate"
    job = fleet.queue_job("release", wait_at(gate), labels=[*LABELS.split(", "), "stays"])
    visit.go("Runners")
    expect(visit.row("Busy", name)).to_be_visible()
    visit.row("Busy", name).get_by_role("link", name=name).click()
    visit.see_heading(name)
    with visit.without_reload():
        page.get_by_role("button", name="Drain", exact=True).click()
        expect(page.get_by_role("status").filter(has_text="takes no new jobs")).to_be_visible()
        states = page.get_by_role("list", name="States so far")
        expect(states.get_by_role("listitem").filter(has_text="Draining")).to_have_attribute(
            "aria-current", "step"
        )
        expect(page.get_by_role("region", name="Current job")).to_contain_text("release")
    assert fleet.github_job(job)["status"] == "in_progress"
    visit.pictures("14-runner-draining")

    visit.go("Jobs")
    expect(visit.row("release", "Running", name)).to_be_visible()
    gate.touch()
    wait_for("the long job's end", lambda: fleet.github_job(job)["status"] == "completed")
    assert fleet.github_job(job)["conclusion"] == "success"
    expect(visit.row("release", "Success", name)).to_be_visible()
    visit.go("Runners")
    expect(visit.row(name)).to_have_count(0)


def deregister(visit: Visit, name: str) -> None:
    page = visit.page
    visit.row(name).get_by_role("link", name=name).click()
    visit.see_heading(name)
    page.get_by_role("link", name="Deregister…").click()
    dialog = page.get_by_role("dialog", name=f"Deregister {name}?")
    dialog.get_by_label("Reason").fill("No longer needed")
    visit.picture("15-deregister-dialog")
    with visit.without_reload():
        dialog.get_by_role("button", name="Deregister", exact=True).click()
        said = page.get_by_role("status").filter(has_text="leaves when its job ends")
        expect(said).to_be_visible()
    expect(dialog).to_be_hidden()


def see_nothing_left(visit: Visit, fleet: Fleet) -> None:
    visit.go("Runners")
    expect(visit.page.get_by_role("heading", name="No runner yet")).to_be_visible()
    visit.picture("16-runners-none")
    wait_for("an empty list at GitHub", lambda: not fleet.github_runners())


def see_who_did_it(visit: Visit, *, persistent: str, left: str) -> None:
    visit.go("Audit log")
    visit.page.get_by_label("People only").check()
    for words in (
        ("Draining runner", persistent),
        ("Draining runner", left, "No longer needed"),
        ("Provisioned runner", persistent),
        ("Made enrolment code",),
        ("Added scope",),
        ("Added credential",),
    ):
        expect(visit.row(PERSON, *words).first).to_be_visible()
    visit.pictures("17-audit-log")


def wait_at(gate: Path) -> str:
    """A job's script that ends well once the file is there."""
    return f"echo waiting; until test -e '{gate}'; do sleep 0.2; done; echo done"


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3])
