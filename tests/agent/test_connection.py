"""A listener that lost GitHub says so for as long as it lasts; its process goes on."""

from __future__ import annotations

from pathlib import Path

from fleet_agent.journal import Journal
from fleet_agent.observe import UNCONNECTED, read_console
from fleet_agent.slots import Slot, new_slot
from fleet_agent.wire import Wanted

LINES = {
    "up": "2026-01-01 00:00:00Z: Listening for Jobs",
    "lost": "2026-01-01 00:00:09Z: Runner connect error: timed out. Retrying until reconnected.",
    "back": "2026-01-01 00:00:42Z: Runner reconnected.",
}


def says(slot: Slot, journal: Journal, what: str) -> None:
    """The runner writes one notable line, and the agent looks."""
    slot.directory.console.mkdir(parents=True, exist_ok=True)
    with (slot.directory.console / f"events-{0:020d}.log").open("a") as file:
        file.write(f"2026-01-01T00:00:00Z\t{LINES[what]}\n")
    read_console(slot, journal)


def test_lost_connection_is_the_reason_until_it_is_back(tmp_path: Path) -> None:
    wanted = Wanted(12, "forge-0012", 1, True, False, "jit", "_work", None)
    slot, journal = new_slot(wanted, tmp_path, "boot-1"), Journal(tmp_path / "journal")
    says(slot, journal, "up")
    assert slot.reason == ""
    says(slot, journal, "lost")
    assert (slot.reason, slot.report()["reason"]) == (UNCONNECTED, UNCONNECTED)
    says(slot, journal, "back")
    assert slot.reason == ""
    kinds = [entry["kind"] for entry in journal.entries]
    assert kinds == ["connection-lost", "reconnected"]
