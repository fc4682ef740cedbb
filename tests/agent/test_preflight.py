"""Preflight: every boundary as a table, what limits a container, and the command."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fleet_agent.__main__ import main
from fleet_agent.latency import LatencyWatch, first_byte_ms, summarise
from fleet_agent.own_limits import usable_cpus, usable_memory_bytes
from fleet_agent.preflight import (
    GB,
    check_clock,
    check_cpus,
    check_free,
    check_github,
    check_images,
    check_memory,
    check_network,
    check_storage,
    check_temperature,
    link_mbps,
    measure_mbps,
    spins,
    throttle_bits,
    worst,
)
from fleet_agent.verdict import Check, Verdict

from tests.agent.test_facts import proc_tree

V1_UNLIMITED = str(2**63 - 4096)


@pytest.mark.parametrize(
    ("cpus", "verdict", "words"),
    [
        (3, "poor", "refused: 3 processors, at least 4 are needed"),
        (3.99, "poor", "refused: 3.9 processors, at least 4 are needed"),
        (4, "fair", "4 processors: meets the minimum of 4, 8 are recommended"),
        (7, "fair", "7 processors: meets the minimum of 4, 8 are recommended"),
        (8, "good", "8 processors: meets the recommendation of 8"),
    ],
)
def test_processors(cpus: float, verdict: str, words: str) -> None:
    found = check_cpus(cpus)
    assert (found["verdict"], found["words"]) == (verdict, words)
    assert bool(found["fix"]) is (verdict == "poor")


@pytest.mark.parametrize(
    ("usable", "total", "verdict"),
    [
        (8 * GB - 1, 8 * GB - 1, "poor"),
        (8 * GB, 8 * GB, "fair"),
        (16 * GB - 1, 16 * GB, "fair"),
        (16 * GB, 16 * GB, "good"),
        (4 * GB, 64 * GB, "poor"),
        (0, 0, "unknown"),
    ],
)
def test_memory(usable: int, total: int, verdict: str) -> None:
    found = check_memory(usable, total)
    assert found["verdict"] == verdict
    assert ("limited" in found["words"]) is (usable < total)


@pytest.mark.parametrize(
    ("gigabytes", "spinning", "verdict", "words"),
    [
        (99, False, "poor", "refused: 99 GB"),
        (100, False, "fair", "meets the minimum"),
        (199, False, "fair", "meets the minimum"),
        (200, False, "good", "meets the recommendation"),
        (200, None, "good", "SSD or not can not be told"),
        (2000, True, "poor", "a spinning disk of 2000 GB"),
    ],
)
def test_storage(gigabytes: int, spinning: bool | None, verdict: str, words: str) -> None:
    found = check_storage(gigabytes * GB, spinning)
    assert found["verdict"] == verdict
    assert words in found["words"]


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (check_free(10 * GB - 1), "poor"),
        (check_free(10 * GB), "fair"),
        (check_free(20 * GB), "good"),
        (check_network(90.0, 1000), "poor"),
        (check_network(99.96, None), "poor"),
        (check_network(110.0, None), "good"),
        (check_network(None, 1000), "unknown"),
        (check_clock(None), "unknown"),
        (check_clock(-1.9), "good"),
        (check_clock(2.0), "fair"),
        (check_clock(-30.0), "poor"),
        (check_github(20.0, 0.0, "good"), "good"),
        (check_github(150.0, 5.0, "fair"), "fair"),
        (check_github(None, 100.0, "poor"), "poor"),
        (check_temperature(None, None), "unknown"),
        (check_temperature(79.0, None), "good"),
        (check_temperature(80.0, None), "fair"),
        (check_temperature(90.0, 0), "poor"),
        (check_temperature(50.0, 0x50000), "fair"),
        (check_temperature(50.0, 0x50005), "poor"),
    ],
)
def test_other_boundaries(found: Check, verdict: str) -> None:
    assert found["verdict"] == verdict
    assert found["words"]
    assert found["fix"] or verdict != "poor"


def test_speed_of_the_link_is_told_beside_the_measured_one(tmp_path: Path) -> None:
    sysfs = proc_tree(
        tmp_path,
        class__net__eth0__operstate="up\n",
        class__net__eth0__speed="1000\n",
        class__net__eth1__operstate="down\n",
        class__net__eth1__speed="10000\n",
        class__net__wlan0__operstate="up\n",
        class__net__wlan0__speed="-1\n",
    )
    assert link_mbps(sysfs) == 1000
    assert "(its link: 1000 Mbit/s)" in check_network(110.0, 1000)["words"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"sda__queue__rotational": "1"}, True),
        ({"nvme0n1__queue__rotational": "0"}, False),
        ({"vda__queue__rotational": "1"}, None),
        ({"vda__queue__rotational": "0"}, False),
        ({"sda__sda1__partition": "1", "sda__queue__rotational": "1"}, True),
        ({"dm-0__slaves__sda__queue__rotational": "0", "dm-0__queue__rotational": "1"}, False),
        (
            {"md0__slaves__a__queue__rotational": "0", "md0__slaves__b__queue__rotational": "1"},
            True,
        ),
    ],
)
def test_spinning_disks_are_told_from_others(
    tmp_path: Path, files: dict[str, str], told: bool | None
) -> None:
    root = proc_tree(tmp_path, **files)
    name = next(iter(files)).split("__")
    device = root / name[0] / "sda1" if name[1] == "sda1" else root / name[0]
    assert spins(device) is told


def test_disk_that_is_no_device_can_not_be_told(tmp_path: Path) -> None:
    assert spins(tmp_path / "0:42") is None


@pytest.mark.parametrize(
    ("files", "gigabytes", "cpus"),
    [
        ({}, 64, None),
        (
            {
                "self__cgroup": "0::/box/agent\n",
                "cg__cgroup.controllers": "cpu memory",
                "cg__box__memory.max": str(4 * GB),
                "cg__box__agent__memory.max": "max",
                "cg__box__agent__cpu.max": "50000 100000",
            },
            4,
            0.5,
        ),
        (
            {
                "self__cgroup": "9:memory:/docker/1\n4:cpu,cpuacct:/docker/1\n0::/\n",
                "cg__memory__docker__1__memory.limit_in_bytes": str(8 * GB),
                "cg__memory__memory.limit_in_bytes": V1_UNLIMITED,
                "cg__cpu,cpuacct__docker__1__cpu.cfs_quota_us": "25000",
                "cg__cpu,cpuacct__docker__1__cpu.cfs_period_us": "100000",
            },
            8,
            0.25,
        ),
        (
            {
                "self__cgroup": "4:memory:/../host/path\n0::/host/path\n",
                "cg__cgroup.controllers": "memory",
                "cg__memory.max": str(2 * GB),
            },
            2,
            None,
        ),
    ],
)
def test_limits_of_a_container_are_seen(
    tmp_path: Path, files: dict[str, str], gigabytes: int, cpus: float | None
) -> None:
    files = {name.replace("cg__", "fs__cgroup__"): text for name, text in files.items()}
    root = proc_tree(tmp_path, meminfo=f"MemTotal: {64 * GB // 1024} kB\n", **files)
    assert usable_memory_bytes(root, root) // GB == pytest.approx(gigabytes, abs=1)
    assert usable_cpus(root, root) == cpus if cpus else usable_cpus(root, root) >= 1


@pytest.mark.parametrize(
    ("samples", "p95", "verdict"),
    [
        ([20.0] * 20, 20.0, "good"),
        ([20.0] * 19 + [900.0], 20.0, "good"),
        ([20.0] * 18 + [150.0] * 2, 150.0, "fair"),
        ([99.9] * 5, 99.9, "good"),
        ([100.0] * 5, 100.0, "fair"),
        ([1000.0] * 5, 1000.0, "poor"),
        ([20.0] * 17 + [None] * 3, None, "poor"),
        ([20.0, None, None, 20.0], 20.0, "good"),
        ([None], None, "poor"),
    ],
)
def test_latency_is_a_percentile(
    samples: list[float | None], p95: float | None, verdict: str
) -> None:
    told = summarise(samples)
    assert (told["p95_ms"], told["verdict"]) == (p95, verdict)


def test_latency_watch_forgets_another_address() -> None:
    asked: list[str] = []

    def measure(url: str) -> float:
        asked.append(url)
        return 12.0

    watch = LatencyWatch(measure)
    watch.sample()
    assert watch.told() is None
    watch.watch("https://one")
    watch.sample()
    watch.watch("https://one")
    told = watch.told()
    assert told is not None
    assert told["samples"] == 1
    watch.watch("https://two")
    assert watch.told() is None
    assert asked == ["https://one"]


@pytest.fixture
def loopback() -> Iterator[str]:
    """A web server that answers every GET with some bytes, and HEAD with a refusal."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            moved = self.path == "/moved"
            self.send_response(302 if moved else 200)
            if moved:
                self.send_header("Location", "/data")
            self.end_headers()
            if not moved:
                for _ in range(64):
                    self.wfile.write(bytes(64 * 1024))

        do_POST = do_GET

        def do_HEAD(self) -> None:
            self.send_response(403)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_time_to_the_first_byte_is_measured_whatever_the_answer(loopback: str) -> None:
    taken = first_byte_ms(loopback)
    assert taken is not None
    assert taken > 0
    assert first_byte_ms("http://127.0.0.1:9") is None


def test_throughput_is_measured_by_a_download(loopback: str) -> None:
    taken = measure_mbps(f"{loopback}/data")
    assert taken is not None
    assert taken > 0
    assert measure_mbps("http://127.0.0.1:9/") is None


def test_token_does_not_follow_a_redirect(loopback: str) -> None:
    assert measure_mbps(f"{loopback}/moved", token="fla_x") is None
    assert measure_mbps(f"{loopback}/moved") is not None


def test_engine_that_answers_can_build_images(tmp_path: Path) -> None:
    path = tmp_path / "var/run/docker.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()

        def answer() -> None:
            peer, _ = engine.accept()
            with peer:
                peer.recv(200)
                peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nOK")

        thread = threading.Thread(target=answer)
        thread.start()
        found = check_images(tmp_path, {}, uid=1000)
        thread.join()
    assert found["verdict"] == "good"
    dead = check_images(tmp_path, {}, uid=1000)
    assert dead["verdict"] == "fair"
    assert "does not answer (Connection refused)" in dead["words"]


@pytest.mark.parametrize(
    ("subuid", "uid", "verdict"),
    [("ci:100000:65536\n", 1000, "good"), ("", 1000, "fair"), ("", 0, "good")],
)
def test_rootless_builder_needs_user_ids_to_map(
    tmp_path: Path, subuid: str, uid: int, verdict: str
) -> None:
    root = proc_tree(tmp_path, etc__passwd="ci:x:1000:1000::/home/ci:/bin/sh\n", etc__subuid=subuid)
    builder = tmp_path / "bin/buildah"
    builder.parent.mkdir()
    builder.write_text("#!/bin/sh\n")
    builder.chmod(0o755)
    found = check_images(root, {"PATH": str(builder.parent)}, uid=uid)
    assert found["verdict"] == verdict


def test_machine_without_builder_says_what_to_install(tmp_path: Path) -> None:
    found = check_images(tmp_path, {"PATH": str(tmp_path)}, uid=1000)
    assert (found["verdict"], found["words"]) == ("fair", "can not build images: no engine")
    assert "podman" in found["fix"]


@pytest.mark.parametrize(("text", "bits"), [("50005\n", 0x50005), ("?", None)])
def test_small_boards_firmware_says_whether_it_slows_down(
    tmp_path: Path, text: str, bits: int | None
) -> None:
    folder = tmp_path / "devices/platform/soc/soc:firmware"
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text(text)
    assert throttle_bits(tmp_path) == bits


def test_worst_verdict_does_not_count_what_is_unknown() -> None:
    def one(verdict: Verdict) -> Check:
        return {"key": "x", "verdict": verdict.value, "words": "", "fix": ""}

    assert worst([one(Verdict.UNKNOWN), one(Verdict.GOOD)]) is Verdict.GOOD
    assert worst([one(Verdict.FAIR), one(Verdict.GOOD)]) is Verdict.FAIR
    assert worst([one(Verdict.FAIR), one(Verdict.POOR)]) is Verdict.POOR


def test_command_tells_all_and_ends_with_its_verdict(
    tmp_path: Path,
    loopback: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("fleet_agent.preflight_command.find_emulations", list)
    options = ["--state-dir", str(tmp_path / "none"), "--github-url", loopback]
    options += ["--speed-url", f"{loopback}/data"]
    code = main(["preflight", *options, "--json"])
    told = json.loads(capsys.readouterr().out)
    keys = [one["key"] for one in told["checks"]]
    assert keys[:6] == ["cpus", "memory", "storage", "free", "images", "temperature"]
    assert {"network", "clock", "github"} <= set(keys)
    assert code == (1 if told["verdict"] == "poor" else 0)
    assert main(["preflight", *options]) == code
    text = capsys.readouterr().out
    assert "Mbit/s" in text
    assert "first byte in" in text


def test_command_without_a_way_to_its_dashboard_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fleet_agent.preflight_command.find_emulations", list)
    options = ["--server", "http://127.0.0.1:9", "--github-url", ""]
    assert main(["preflight", "--state-dir", str(tmp_path / "none"), *options]) == 1
    assert "cannot be reached" in capsys.readouterr().err
