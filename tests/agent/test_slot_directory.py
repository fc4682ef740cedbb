"""A slot's directory: cheap to make, its own root, gone whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleet_agent.errors import AgentError
from fleet_agent.removal import remove_tree
from fleet_agent.slot_directory import SlotDirectory


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """An unpacked package, read-only."""
    root = tmp_path / "package"
    (root / "bin" / "deep").mkdir(parents=True)
    (root / "externals" / "node").mkdir(parents=True)
    for name in ("bin/Runner.Listener", "bin/deep/lib.so", "config.sh", "externals/node/node"):
        (root / name).write_text("x")
        (root / name).chmod(0o555)
    (root / "bin" / "alias").symlink_to("Runner.Listener")
    return root


@pytest.fixture
def slot(tmp_path: Path) -> SlotDirectory:
    """A slot that is not made yet."""
    return SlotDirectory(tmp_path / "slots" / "12")


def test_programs_have_their_real_path_in_the_slot(package: Path, slot: SlotDirectory) -> None:
    slot.prepare(package, "_work")
    for name in ("bin/Runner.Listener", "bin/deep/lib.so", "config.sh"):
        assert (slot.runner_root / name).resolve() == slot.runner_root / name
    assert (slot.runner_root / "externals").resolve() == package / "externals"
    assert os.readlink(slot.runner_root / "bin" / "alias") == "Runner.Listener"


def test_programs_are_shared_with_the_package(package: Path, slot: SlotDirectory) -> None:
    slot.prepare(package, "_work")
    assert slot.listener.samefile(package / "bin" / "Runner.Listener")


def test_programs_are_copied_where_they_cannot_be_linked(
    package: Path, slot: SlotDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    slot.prepare(package, "_work")
    assert slot.listener.read_text() == "x"
    assert not slot.listener.samefile(package / "bin" / "Runner.Listener")


def test_preparing_again_starts_from_nothing(package: Path, slot: SlotDirectory) -> None:
    slot.prepare(package, "_work")
    (slot.runner_root / ".credentials").write_text("old")
    (slot.home / "left").write_text("old")
    slot.prepare(package, "_work")
    assert not (slot.runner_root / ".credentials").exists()
    assert list(slot.home.iterdir()) == []


def test_wiping_leaves_the_package_whole(package: Path, slot: SlotDirectory) -> None:
    slot.prepare(package, "_work")
    slot.wipe()
    assert not slot.runner_root.exists()
    assert (package / "bin" / "Runner.Listener").read_text() == "x"
    assert (package / "externals" / "node" / "node").read_text() == "x"


def test_wiping_does_not_follow_links_a_job_planted(
    package: Path, slot: SlotDirectory, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    slot.prepare(package, "_work")
    (slot.home / "trap").symlink_to(precious)
    slot.temporary.rmdir()
    slot.temporary.symlink_to(precious)
    (slot.runner_root / ".credentials").symlink_to(precious / "file")
    slot.wipe()
    assert (precious / "file").read_text() == "keep"
    assert not slot.temporary.is_symlink()


def test_wiping_takes_what_a_job_locked(package: Path, slot: SlotDirectory) -> None:
    slot.prepare(package, "_work")
    locked = slot.home / "go" / "pkg"
    locked.mkdir(parents=True)
    (locked / "file").write_text("x")
    locked.chmod(0o000)
    locked.parent.chmod(0o500)
    (slot.runner_root / ".credentials").mkdir()
    slot.wipe()
    assert not slot.home.exists()
    assert not slot.runner_root.exists()


def test_very_deep_tree_is_deleted(tmp_path: Path) -> None:
    root = tmp_path / "deep"
    root.mkdir()
    back = os.open(".", os.O_RDONLY)
    try:
        os.chdir(root)
        for _ in range(2000):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.fchdir(back)
        os.close(back)
    remove_tree(root)
    assert list(tmp_path.iterdir()) == []


def test_deleting_nothing_is_fine(tmp_path: Path) -> None:
    remove_tree(tmp_path / "missing")


def test_deleting_a_link_leaves_its_target(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    link = tmp_path / "link"
    link.symlink_to(target)
    remove_tree(link)
    assert target.is_dir()
    assert not link.is_symlink()


def test_slot_that_cannot_be_made_says_what_to_look_at(package: Path, slot: SlotDirectory) -> None:
    slot.path.parent.mkdir()
    slot.path.write_text("a file where the directory should be")
    with pytest.raises(AgentError, match="space and permissions"):
        slot.prepare(package, "_work")
