"""CUDA and ROCm, piece by piece: what is there, what is missing, and that each lack has its fix."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fleet_agent.gpu.cards import Gpu, new_gpu
from fleet_agent.gpu.programs import Programs, Told
from fleet_agent.gpu.stack import CUDA_PROBE, Places, check_stacks, chips, version
from fleet_agent.verdict import Check

from tests.agent.test_facts import proc_tree


class Says(Programs):
    """Whatever is asked, this is said."""

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__()
        self.told = Told(text, reason)

    def ask(self, command: object) -> Told:
        return self.told


@pytest.fixture(autouse=True)
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own is found."""
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))


def card(vendor: str = "nvidia", driver: str = "550.54.15", state: str = "ok") -> Gpu:
    """A card."""
    gpu = new_gpu(vendor, "card", "0000:01:00.0", driver)
    gpu["state"] = "ok" if state == "ok" else "no-driver"
    gpu["reason"] = "" if state == "ok" else "no driver: install it"
    return gpu


def checked(
    tmp_path: Path, gpu: Gpu, files: dict[str, str] | None = None, programs: Programs | None = None
) -> dict[str, Check]:
    """The checks of a machine with these files, by key."""
    root = proc_tree(tmp_path / "root", **(files or {}))
    places = Places(root, root / "sys")
    found = check_stacks([gpu], programs or Says("12040 1\n"), places)
    assert all(one["fix"] for one in found if one["verdict"] in ("poor", "fair"))
    return {one["key"]: one for one in found}


def verdicts(found: dict[str, Check]) -> dict[str, str]:
    """Only the verdicts."""
    return {key: one["verdict"] for key, one in found.items()}


TOOLKIT = {"usr__local__cuda__version.json": '{"cuda": {"name": "CUDA SDK", "version": "12.4.1"}}'}
ROCM = {
    "opt__rocm__.info__version": "6.1.2-123\n",
    "opt__rocm__lib__libhsa-runtime64.so.1": "",
    "dev__kfd": "",
}
MI210 = {"sys__class__kfd__kfd__topology__nodes__1__properties": "gfx_target_version 90010\n"}


def test_whole_cuda_is_good(tmp_path: Path) -> None:
    found = checked(tmp_path, card(), {"etc__cdi__nvidia.yaml": ""} | TOOLKIT)
    assert set(verdicts(found).values()) == {"good"}
    assert found["cuda.runtime"]["words"] == "CUDA 12.4 starts and sees 1 device"
    assert found["cuda.versions"]["words"] == "driver 550.54.15 fits CUDA 12.4.1"


def test_bare_driver_lacks_toolkit_and_containers_only(tmp_path: Path) -> None:
    assert verdicts(checked(tmp_path, card())) == {
        "cuda.driver": "good",
        "cuda.runtime": "good",
        "cuda.toolkit": "fair",
        "cuda.containers": "fair",
    }


def test_card_without_a_driver_says_what_to_install(tmp_path: Path) -> None:
    found = checked(tmp_path, card(state="none"), {}, Says("", "ended with 1: no libcuda.so.1"))
    assert verdicts(found)["cuda.driver"] == verdicts(found)["cuda.runtime"] == "poor"
    assert "no libcuda.so.1" in found["cuda.runtime"]["words"]


@pytest.mark.parametrize(
    ("driver", "toolkit", "said", "verdict"),
    [
        ("525.60.13", "12.0", "12000 1", "good"),
        ("525.60.12", "12.0", "12000 1", "poor"),
        ("470.57.02", "11.4", "11040 1", "good"),
        ("470.57.02", "12.1", "11040 1", "poor"),
        ("580.65.06", "13.0", "13000 1", "good"),
        ("570.86.10", "13.0", "12080 1", "poor"),
        ("590.1", "99.0", "13000 1", "unknown"),
    ],
)
def test_versions_are_held_against_the_table(
    tmp_path: Path, driver: str, toolkit: str, said: str, verdict: str
) -> None:
    files = {"usr__local__cuda__version.json": f'{{"cuda": {{"version": "{toolkit}"}}}}'}
    found = checked(tmp_path, card(driver=driver), files, Says(said))
    assert found["cuda.versions"]["verdict"] == verdict


def test_toolkit_is_known_by_the_place_of_its_compiler(tmp_path: Path) -> None:
    compiler = tmp_path / "root/opt/cuda-11.8/bin/nvcc"
    compiler.parent.mkdir(parents=True)
    compiler.write_text("")
    link = tmp_path / "root/usr/local/cuda"
    link.parent.mkdir(parents=True)
    link.symlink_to(compiler.parent.parent)
    assert checked(tmp_path, card())["cuda.toolkit"]["words"] == "CUDA toolkit 11.8"


def test_container_toolkit_gives_containers_a_gpu(tmp_path: Path) -> None:
    found = checked(tmp_path, card(), {"usr__bin__nvidia-ctk": ""})
    assert found["cuda.containers"]["verdict"] == "good"


def test_whole_rocm_is_good(tmp_path: Path) -> None:
    found = checked(tmp_path, card("amd", "amdgpu"), ROCM | MI210)
    assert set(verdicts(found).values()) == {"good"}
    assert found["rocm.versions"]["words"] == "ROCm 6.1.2 and gfx90a"


def test_rocm_names_each_missing_piece(tmp_path: Path) -> None:
    assert verdicts(checked(tmp_path, card("amd", "amdgpu"))) == {
        "rocm.driver": "poor",
        "rocm.runtime": "poor",
        "rocm.toolkit": "fair",
    }


def test_rocm_that_is_older_than_the_chip_is_refused(tmp_path: Path) -> None:
    chip = {"sys__class__kfd__kfd__topology__nodes__1__properties": "gfx_target_version 120001\n"}
    found = checked(tmp_path, card("amd", "amdgpu"), ROCM | chip)
    assert found["rocm.versions"]["verdict"] == "poor"
    assert found["rocm.versions"]["fix"] == "install ROCm 6.4 or newer"


def test_card_amdgpu_does_not_serve_is_refused(tmp_path: Path) -> None:
    found = checked(tmp_path, card("amd", "", "none"), ROCM)
    assert found["rocm.driver"]["words"] == "no driver: install it"


def test_machine_without_cards_and_graphics_of_a_processor_have_no_checks(tmp_path: Path) -> None:
    inside = card("amd", "amdgpu")
    inside["kind"] = "integrated"
    assert check_stacks([], Says(""), Places()) == []
    assert check_stacks([inside], Says(""), Places()) == []


def test_cuda_that_is_not_there_is_proved_so_in_a_process_of_its_own() -> None:
    told = Programs().ask([sys.executable, "-I", "-S", "-c", CUDA_PROBE])
    assert told.reason.startswith("ended with 1") or told.text.split()[1].isdigit()


@pytest.mark.parametrize(
    ("number", "chip"),
    [("90010", "gfx90a"), ("90402", "gfx942"), ("110000", "gfx1100"), ("120001", "gfx1201")],
)
def test_chips_are_called_as_rocm_calls_them(tmp_path: Path, number: str, chip: str) -> None:
    text = f"cpu_cores_count 0\ngfx_target_version {number}\n"
    root = proc_tree(tmp_path, class__kfd__kfd__topology__nodes__1__properties=text)
    assert chips(root) == [chip]


def test_processors_are_no_chips(tmp_path: Path) -> None:
    text = "cpu_cores_count 8\ngfx_target_version 0\n"
    root = proc_tree(tmp_path, class__kfd__kfd__topology__nodes__0__properties=text)
    assert chips(root) == []


@pytest.mark.parametrize(("text", "parts"), [("6.1.2-12", (6, 1, 2)), ("", ()), ("x", ())])
def test_versions_are_read_from_their_beginning(text: str, parts: tuple[int, ...]) -> None:
    assert version(text) == parts
