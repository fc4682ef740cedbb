"""GPUs: each source with its own fake, machines as a table, and always a reason for none."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from fleet_agent.gpu import Survey, Surveyor, identity, names
from fleet_agent.gpu.amd import parse_amd_smi, parse_rocm_smi
from fleet_agent.gpu.cards import pci_address
from fleet_agent.gpu.names import known_name
from fleet_agent.gpu.nvidia import parse_line
from fleet_agent.gpu.programs import Programs, Told

from tests.agent import gpu_machines as printed
from tests.agent.gpu_machines import (
    GIB,
    NOT_INSTALLED,
    WITH_GPU,
    WITHOUT_GPU,
    Device,
    Expected,
    MachineWithGpus,
    amd,
    make_sysfs,
    nvidia,
    smi,
)


class FakePrograms(Programs):
    """Programs that print what they are said to; the first whose words are in the command."""

    def __init__(self, answers: Mapping[str, printed.Told | Told]) -> None:
        super().__init__()
        self.answers = answers
        self.asked: list[str] = []

    def ask(self, command: Sequence[str]) -> Told:
        line = " ".join(command)
        self.asked.append(line)
        found = [words for words in self.answers if all(w in line for w in words.split())]
        told = self.answers[max(found, key=len)] if found else NOT_INSTALLED
        return Told(told.text, told.reason)


class HangingPrograms(FakePrograms):
    """Programs that never answer."""

    def ask(self, command: Sequence[str]) -> Told:
        return Told("", "did not answer in 10 s", unanswered=True)


@pytest.fixture(autouse=True)
def machine_without_a_list_of_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether this machine has a ``pci.ids`` must not change the names."""
    monkeypatch.setattr(names, "USR_ROOT", tmp_path / "usr")


FACTS_BYTES = 9 * 1024  # of the 15 KB of a heartbeat, with room for slots and journal


def surveyed(tmp_path: Path, machine: MachineWithGpus) -> Survey:
    """What the agent finds on a machine."""
    sysfs = make_sysfs(tmp_path, machine.devices)
    return Surveyor(sysfs, FakePrograms(machine.programs)).look()


@pytest.mark.parametrize("machine", [*WITH_GPU, *WITHOUT_GPU], ids=lambda one: one.name)
def test_machine_is_told_as_it_is(tmp_path: Path, machine: MachineWithGpus) -> None:
    found = surveyed(tmp_path, machine)
    assert [
        Expected(
            gpu["vendor"],
            gpu["model"],
            round(gpu["memory_bytes"] / GIB),
            gpu["driver"],
            gpu["kind"],
            gpu["state"],
        )
        for gpu in found.gpus
    ] == list(machine.expected)
    assert found.source.startswith(machine.source)
    assert all(gpu["reason"] for gpu in found.gpus if gpu["state"] != "ok")


@pytest.mark.parametrize("machine", WITHOUT_GPU, ids=lambda one: one.name)
def test_machine_without_a_usable_gpu_has_none_that_is_ok(
    tmp_path: Path, machine: MachineWithGpus
) -> None:
    gpus = surveyed(tmp_path, machine).gpus
    assert not [gpu for gpu in gpus if gpu["state"] == "ok" and gpu["kind"] == "discrete"]


def test_there_are_twelve_machines_with_a_gpu_and_six_without() -> None:
    assert (len(WITH_GPU), len(WITHOUT_GPU)) == (12, 6)


def test_readings_belong_to_their_cards(tmp_path: Path) -> None:
    found = surveyed(tmp_path, WITH_GPU[2])
    assert [reading["id"] for reading in found.readings] == ["GPU-1", "GPU-2"]
    assert found.readings[1] == {
        "id": "GPU-2",
        "temperature_celsius": 42.0,
        "busy_percent": 99.0,
        "memory_used_bytes": 20000 * 2**20,
    }
    assert [gpu["ecc_errors"] for gpu in found.gpus] == [0, 2]


def test_amd_readings_come_from_the_kernel(tmp_path: Path) -> None:
    files = {"hwmon/hwmon3/temp1_input": "38000", "mem_info_vram_used": str(GIB)}
    card = amd(3, "0x740f", 64 * GIB, "8f3a", **files, **{"ras/umc_err_count": "ue: 3\nce: 4"})
    found = Surveyor(make_sysfs(tmp_path, [card]), FakePrograms({})).look()
    assert found.gpus[0]["ecc_errors"] == 3
    assert found.readings == [
        {
            "id": "8f3a",
            "temperature_celsius": 38.0,
            "busy_percent": 7,
            "memory_used_bytes": GIB,
        }
    ]


def test_instances_of_a_divided_card_are_listed(tmp_path: Path) -> None:
    machine = next(one for one in WITH_GPU if "instances" in one.name)
    [gpu] = surveyed(tmp_path, machine).gpus
    assert [(one["profile"], one["uuid"][:8]) for one in gpu["mig"]] == [
        ("3g.20gb", "MIG-c6d4"),
        ("1g.5gb", "MIG-cba6"),
    ]


def test_divided_card_without_instances_says_what_to_do(tmp_path: Path) -> None:
    line = "NVIDIA A100, 40960, 535.1, GPU-5, 00000000:07:00.0, 33, [N/A], 0, Enabled, 0"
    programs = FakePrograms(smi(line) | {"nvidia-smi -L": Told("GPU 0: A100 (UUID: GPU-5)", "")})
    [gpu] = Surveyor(make_sysfs(tmp_path, [nvidia(7, "0x20b0")]), programs).look().gpus
    assert (gpu["mig"], gpu["reason"][:9]) == ([], "MIG is on")


def test_lost_card_is_told_beside_the_good_one(tmp_path: Path) -> None:
    good = "NVIDIA L4, 23034, 550.54.15, GPU-1, 00000000:03:00.0, 41, 3, 200, [N/A], 0"
    lost = Told(
        "Unable to determine the device handle for GPU0000:04:00.0: GPU is lost.  Reboot the "
        "system to recover this GPU",
        "ended with 15: Unable to determine",
    )
    programs = FakePrograms(
        {
            "nvidia-smi": lost,
            "nvidia-smi -i 0000:03:00.0": Told(good, ""),
            "nvidia-smi -i 0000:04:00.0": lost,
        }
    )
    sysfs = make_sysfs(tmp_path, [nvidia(3, "0x27b8"), nvidia(4, "0x27b8")])
    found = Surveyor(sysfs, programs).look()
    assert [(gpu["pci"], gpu["state"]) for gpu in found.gpus] == [
        ("0000:03:00.0", "ok"),
        ("0000:04:00.0", "lost"),
    ]
    assert "Xid" in found.gpus[1]["reason"]


def test_driver_that_does_not_answer_is_no_news_until_the_third_time(tmp_path: Path) -> None:
    machine = WITH_GPU[1]
    programs = FakePrograms(machine.programs)
    surveyor = Surveyor(make_sysfs(tmp_path, machine.devices), programs)
    before = surveyor.look()
    hangs = HangingPrograms({})
    surveyor.programs = hangs
    assert [surveyor.look().gpus == before.gpus for _ in range(3)] == [True, True, False]
    assert surveyor.look().gpus[0]["state"] == "no-driver"
    surveyor.programs = programs
    assert surveyor.look().gpus == before.gpus


def test_card_whose_fields_are_errors_is_lost() -> None:
    parsed = parse_line("NVIDIA L4, [GPU is lost], 550.54.15, GPU-1, 00000000:03:00.0, ERR!, 0, 0")
    assert parsed is not None
    assert (parsed[0]["state"], parsed[1]["temperature_celsius"]) == ("lost", None)


def test_amd_card_that_no_longer_answers_is_lost(tmp_path: Path) -> None:
    card = Device("0000:03:00.0", "0x1002", "0x740f", "amdgpu")
    found = Surveyor(make_sysfs(tmp_path, [card]), FakePrograms({})).look()
    assert (found.gpus[0]["state"], found.readings) == ("lost", [])


def test_card_without_a_number_is_called_by_its_place(tmp_path: Path) -> None:
    card = amd(3, "0x744c", 24 * GIB)
    [gpu] = Surveyor(make_sysfs(tmp_path, [card]), FakePrograms({})).look().gpus
    assert identity(gpu) == "pci:0000:03:00.0"


def test_programs_of_amd_are_asked_once_and_only_for_a_name(tmp_path: Path) -> None:
    programs = FakePrograms({})
    surveyor = Surveyor(make_sysfs(tmp_path, [amd(3, "0xffff", 24 * GIB, "x")]), programs)
    surveyor.look()
    surveyor.look()
    assert [line.split()[0] for line in programs.asked].count("amd-smi") == 1


@pytest.mark.parametrize(
    "line",
    ["", "No devices were found", "a, b", ", 1, 2, 3, 4, 5, 6, 7"],
)
def test_line_that_is_no_card_is_none(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[1]", '{"card0": 1}', "{"])
def test_what_no_card_is_in_names_none(text: str) -> None:
    assert parse_amd_smi(text) == parse_rocm_smi(text) == {}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("00000000:3B:00.0", "0000:3b:00.0"),
        ("0000:03:00.0", "0000:03:00.0"),
        ("none", ""),
    ],
)
def test_addresses_are_written_as_the_kernel_does(text: str, address: str) -> None:
    assert pci_address(text) == address


def test_name_is_read_from_the_pci_list_of_the_machine(tmp_path: Path) -> None:
    folder = tmp_path / "share/misc"
    folder.mkdir(parents=True)
    (folder / "pci.ids").write_text(
        "# list\n1002  AMD\n\t1234  Navi 99 [Radeon RX 9999]\n\t\t1462 0001  Other\n"
        "10de  NVIDIA\n\t1234  GP104 [GeForce]\n"
    )
    assert known_name("amd", "0x1234", tmp_path) == "AMD Radeon RX 9999"
    assert known_name("nvidia", "0x1234", tmp_path) == "NVIDIA GeForce"
    assert known_name("amd", "0x9999", tmp_path) == ""


def test_facts_of_the_largest_machine_fit_a_heartbeat(tmp_path: Path) -> None:
    line = WITH_GPU[0].programs["nvidia-smi"].text.replace("Disabled", "Enabled")
    cards = line.splitlines()
    mig = "".join(
        f"GPU {n}: H100 (UUID: {card.split(', ')[3]})\n"
        + "".join(
            f"  MIG 1g.10gb     Device  {i}: (UUID: MIG-{n}{i}d4f1ef-42e4-5de3-91c7-45d71c87eb3f)\n"
            for i in range(7)
        )
        for n, card in enumerate(cards)
    )
    programs = FakePrograms(smi(*cards) | {"nvidia-smi -L": Told(mig, "")})
    found = Surveyor(make_sysfs(tmp_path, WITH_GPU[0].devices), programs).look()
    assert sum(len(gpu["mig"]) for gpu in found.gpus) == 56
    assert len(json.dumps([found.gpus, found.readings])) < FACTS_BYTES


# --- Programs themselves


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty PATH to put a fake nvidia-smi into."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def nvidia_smi(folder: Path, script: str) -> None:
    """Install a fake nvidia-smi."""
    path = folder / "nvidia-smi"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_program_is_run_and_its_words_taken(programs: Path) -> None:
    nvidia_smi(programs, 'echo "NVIDIA L4 $LC_ALL"; echo note >&2')
    assert Programs().ask(["nvidia-smi", "-L"]) == Told("NVIDIA L4 C\n", "")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Failed to initialize NVML: Driver/library mismatch'; exit 18", "18: Failed to"),
        ("exit 3", "3: no message"),
    ],
)
def test_program_that_fails_says_why(programs: Path, script: str, reason: str) -> None:
    nvidia_smi(programs, script)
    assert reason in Programs().ask(["nvidia-smi"]).reason


def test_program_that_is_missing_or_no_program_is_a_reason(programs: Path) -> None:
    assert Programs().ask(["nvidia-smi"]).reason == "is not installed"
    (programs / "nvidia-smi").mkdir()
    assert Programs().ask(["nvidia-smi"]).reason.startswith("could not be run")


def test_hanging_program_is_left(programs: Path) -> None:
    nvidia_smi(programs, "exec /bin/sleep 60")
    assert Programs(seconds=0.2).ask(["nvidia-smi"]).reason == "did not answer in 0 s"


def test_program_that_cannot_be_killed_is_not_asked_again_until_it_is_gone(
    programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia_smi(programs, "exec /bin/sleep 60")
    asked = Programs(seconds=0.2)
    monkeypatch.setattr("fleet_agent.gpu.programs.KILL_SECONDS", 0.05)
    monkeypatch.setattr("subprocess.Popen.kill", lambda self: None)
    assert "did not answer" in asked.ask(["nvidia-smi"]).reason
    assert "hangs since it was asked before" in asked.ask(["nvidia-smi"]).reason
    monkeypatch.undo()
    monkeypatch.setenv("PATH", str(programs))
    process = asked.stuck["nvidia-smi"]
    process.kill()
    while process.poll() is None:
        time.sleep(0.01)
    nvidia_smi(programs, "echo back")
    assert asked.ask(["nvidia-smi"]).text == "back\n"
