"""Machines of their own on this one: network, process, mount and name spaces each.

A machine reaches the dashboard and GitHub by its own loopback address, from where everything is
carried over a virtual cable to the outside: agents speak plain HTTP to nothing else. Pulling the
cable is pulling a cable, killing the first process is cutting the power.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import psutil

from tests.e2e.balancer import balanced
from tests.e2e.fleet import AGENT_FOLDER, Fleet, Program
from tests.installation import ROOT

# For measuring networks (RFC 2544): routed nowhere, and nobody's home
NETWORK = "198.18"
# The first process: starts the agent again when it dies, as an init system does
FIRST_PROCESS = """
hostname "$1"
ip link set lo up
mount --bind "$2" /proc/sys/kernel/random/boot_id
shift 2
"$@" &
wait $!
while :; do "$@"; sleep 0.5; done
"""


def namespaces_missing() -> str:
    """Why machines can't be made here; "" when they can."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("unshare"):
        return "needs root, ip and unshare"
    probe = f"fleetui-{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False)
    if made.returncode:
        return "network namespaces can't be made here"
    run = ("ip", "netns", "exec", probe, "unshare", "--pid", "--fork", "--mount-proc", "--uts")
    entered = subprocess.run([*run, "true"], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "del", probe], check=True)
    return "process namespaces can't be made here" if entered.returncode else ""


@dataclass
class Machine:
    """One machine and its cable; `number` is unique in a test."""

    fleet: Fleet
    name: str
    number: int
    tag: str = field(default_factory=lambda: secrets.token_hex(3))

    @property
    def space(self) -> str:
        return f"fleetui-{self.tag}"

    @property
    def cable(self) -> str:
        return f"fl{self.tag}"

    @property
    def network(self) -> str:
        """The first three numbers of its addresses: ours is .1, the machine's .2."""
        return f"{NETWORK}.{int(self.tag[:2], 16)}.{4 * self.number}".rpartition(".")[0]

    @property
    def outside(self) -> str:
        return f"{self.network}.{4 * self.number + 1}"

    @property
    def first_process(self) -> psutil.Process:
        """What has process id 1 inside."""
        unshare = psutil.Process(self.program.process.pid)
        return unshare.children()[0]

    @property
    def program(self) -> Program:
        return self.fleet.programs[f"machine-{self.name}"]

    def build(self) -> None:
        """Make the space and the cable into it."""
        inside = f"{self.network}.{4 * self.number + 2}"
        _ip("netns", "add", self.space)
        _ip("link", "add", self.cable, "type", "veth", "peer", "name", "eth0", "netns", self.space)
        _ip("addr", "add", f"{self.outside}/30", "dev", self.cable)
        _ip("link", "set", self.cable, "up")
        _ip("-n", self.space, "addr", "add", f"{inside}/30", "dev", "eth0")
        _ip("-n", self.space, "link", "set", "eth0", "up")
        _ip("-n", self.space, "link", "set", "lo", "up")

    def remove(self) -> None:
        """Take everything away again; what was never made is no error."""
        for command in (("link", "del", self.cable), ("netns", "del", self.space)):
            subprocess.run(["ip", *command], capture_output=True, check=False)

    def switch_on(self, *, code: str = "", slots: int = 1) -> None:
        """Start it; with a code the agent enrols. Each start has a boot id of its own."""
        folder = self.fleet.folder
        boot = folder / f"{self.name}-{uuid.uuid4().hex}.boot"
        boot.write_text(f"{uuid.uuid4()}\n")
        state = self.fleet.state_folder(self.name)
        state.mkdir(parents=True, exist_ok=True)
        options = ["--server", self.fleet.url, "--name", self.name, "--state-dir", str(state)]
        options += ["--slots", str(slots)]
        if code:
            code_file = folder / f"{self.name}.code"
            code_file.write_text(code)
            options += ["--code-file", str(code_file)]
        self.fleet.start(
            f"machine-{self.name}",
            *("ip", "netns", "exec", self.space, "unshare", "--uts", "--pid", "--ipc", "--fork"),
            *("--mount", "--mount-proc", "--kill-child"),
            *("bash", "-c", FIRST_PROCESS, "bash", self.name, str(boot)),
            *(sys.executable, "-m", "fleet_agent", "join", *options),
            extra_env={"PYTHONPATH": str(AGENT_FOLDER)},
        )

    def switch_off(self) -> None:
        """Cut its power: every process in it ends at once."""
        self.program.kill()

    def carry(self, ports: Sequence[int]) -> None:
        """Carry these ports of its loopback address to the outside end of the cable."""
        self.fleet.start(
            f"carrier-{self.name}",
            *("ip", "netns", "exec", self.space, sys.executable, "-m", "tests.e2e.balancer"),
            *(f"{port}:{self.outside}" for port in ports),
            extra_env={"PYTHONPATH": str(ROOT)},
        )

    def pull_cable(self) -> None:
        _ip("link", "set", self.cable, "down")

    def plug_cable(self) -> None:
        _ip("link", "set", self.cable, "up")

    def agents(self) -> list[psutil.Process]:
        """The agent's own process."""
        state = str(self.fleet.state_folder(self.name))
        found = []
        for process in self.first_process.children():
            with suppress(psutil.Error):
                if "fleet_agent" in process.cmdline() and state in process.cmdline():
                    found.append(process)
        return found


@contextmanager
def machines(fleet: Fleet, *names: str) -> Iterator[list[Machine]]:
    """Machines with cables, not switched on; gone with all they ran when the block ends."""
    built = [Machine(fleet, name, number) for number, name in enumerate(names)]
    ports = (fleet.installation.port, fleet.sim_port)
    with ExitStack() as undo:
        for machine in built:
            undo.callback(machine.remove)
            machine.build()
            for port in ports:
                there = [("127.0.0.1", port)]
                undo.enter_context(balanced(port, there, address=machine.outside))
            machine.carry(ports)
        try:
            yield built
        finally:
            for name, program in fleet.programs.items():
                if name.startswith(("machine-", "carrier-")) and program.process.poll() is None:
                    program.kill()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=10)
