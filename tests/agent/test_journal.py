"""The journal: numbered for good, bounded, whole after a crash, without secrets."""

from __future__ import annotations

from pathlib import Path

from fleet_agent.journal import Journal


def test_entries_are_numbered_on_across_restarts(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Journal(path)
    first.add("agent-started")
    first.add("exited", 12, exit_code=0)
    again = Journal(path)
    assert [entry["seq"] for entry in again.entries] == [1, 2]
    again.add("agent-started")
    assert again.entries[-1]["seq"] == 3


def test_number_is_kept_when_everything_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("agent-started")
    journal.acknowledge(1)
    again = Journal(path)
    assert again.entries == []
    again.add("agent-started")
    assert again.entries[-1]["seq"] == 2


def test_full_journal_drops_the_oldest_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path, most_entries=10)
    for number in range(25):
        journal.add("exited", number)
    assert len(journal.entries) <= 10
    assert any(entry["kind"] == "journal-dropped" for entry in journal.entries)
    assert journal.entries[-1]["runner_id"] == 24
    assert len(path.read_text().splitlines()) <= 12


def test_half_written_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("agent-started")
    with path.open("a") as file:
        file.write('{"seq": 2, "at": "20')
    again = Journal(path)
    assert [entry["kind"] for entry in again.entries] == ["agent-started"]


def test_secret_in_a_detail_is_masked(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    secret = "ghs_" + "a" * 520
    journal.add("failed", 12, reason=f"refused {secret}")
    assert secret not in (tmp_path / "journal.jsonl").read_text()
    assert journal.entries[0]["detail"] == {"reason": "refused ***"}


def test_full_disk_costs_nothing_but_the_file(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "missing" / "journal.jsonl")
    journal.add("agent-started")
    journal.acknowledge(1)
    assert journal.entries == []


def test_what_has_a_key_is_written_once_until_it_is_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).add("exited", 12, key="12:exit")
    again = Journal(path)
    again.add("exited", 12, key="12:exit")
    assert [entry["kind"] for entry in again.entries] == ["exited"]
    assert "key" not in again.entries[0]
    again.acknowledge(1)
    assert Journal(path).keys == {}


def test_line_cut_off_by_a_crash_swallows_no_later_one(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Journal(path).add("agent-started")
    with path.open("a") as file:
        file.write('{"seq": 2, "ki')
    Journal(path).add("adopted", 12)
    assert [entry["kind"] for entry in Journal(path).entries] == ["agent-started", "adopted"]


def test_number_goes_on_above_what_the_server_has(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.acknowledge(41)
    journal.add("agent-started")
    assert journal.entries[0]["seq"] == 42
