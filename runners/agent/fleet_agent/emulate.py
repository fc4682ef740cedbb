"""``fleet-emulate``: run one command with another architecture's programs emulated, and no more.

    fleet-emulate [--root DIR] arm64 COMMAND …

The kernel is told of QEMU's user emulator in a binfmt registry of this command's own (a user
namespace, Linux 6.7 or newer): no privileges, no change to the host, no image of a third party.
``--root`` runs the command in another root file system, with this job's own folders and network in
it; what it writes elsewhere goes to memory and is gone at its end. As a step's shell:
``shell: fleet-emulate --root DIR arm64 bash -e {0}``.

One file that needs the standard library only: it is copied to where a job finds it.
Exit codes: those of the command; 125 wrong arguments, 126 can not emulate, 127 no such command.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_MOVE, MS_REC, MS_PRIVATE = 0x1000, 0x2000, 0x4000, 0x40000
REGISTRY = Path("/proc/sys/fs/binfmt_misc")
ELF64 = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00"
ELF32 = b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00"
# Everything must fit but the operating system's byte, and position-independent programs count too
MASK = b"\xff" * 7 + b"\x00" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
JOB_FOLDERS = ("GITHUB_WORKSPACE", "RUNNER_TEMP", "RUNNER_TOOL_CACHE", "HOME", "TMPDIR")


class Platform(NamedTuple):
    """One architecture: the kernel's name for it, QEMU's, a container image's, and its ELF mark."""

    machine: str
    qemu: str
    image: str
    magic: bytes


PLATFORMS = {
    "x64": Platform("x86_64", "x86_64", "linux/amd64", ELF64 + b"\x3e\x00"),
    "arm64": Platform("aarch64", "aarch64", "linux/arm64", ELF64 + b"\xb7\x00"),
    "arm": Platform("armv7l", "arm", "linux/arm/v7", ELF32 + b"\x28\x00"),
    "riscv64": Platform("riscv64", "riscv64", "linux/riscv64", ELF64 + b"\xf3\x00"),
    "ppc64le": Platform("ppc64le", "ppc64le", "linux/ppc64le", ELF64 + b"\x15\x00"),
}


class CannotEmulate(Exception):
    """Why the command can not be run, and what to do."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command in place of this process."""
    line = parser()
    options = line.parse_args(arguments)
    if not options.command:
        line.error("name the command to run")
    wanted = PLATFORMS[options.architecture]
    try:
        prepare(wanted, options.architecture, options.root)
    except (CannotEmulate, OSError) as err:
        print(f"fleet-emulate: {err}", file=sys.stderr)
        sys.exit(126)
    try:
        os.execvp(options.command[0], options.command)  # noqa: S606  (the point of this program)
    except FileNotFoundError:
        print(f"fleet-emulate: there is no {options.command[0]} here", file=sys.stderr)
        sys.exit(127)
    except OSError as err:
        print(f"fleet-emulate: {options.command[0]}: {err.strerror}", file=sys.stderr)
        sys.exit(126)


def parser() -> Parser:
    """Return the command line's description."""
    top = Parser(prog="fleet-emulate", description=(__doc__ or "").split("\n")[0])
    top.add_argument("--root", type=Path, help="root file system of that architecture")
    top.add_argument("architecture", choices=sorted(PLATFORMS))
    top.add_argument("command", nargs=argparse.REMAINDER, help="what to run, with its arguments")
    return top


class Parser(argparse.ArgumentParser):
    """A parser whose errors can be told from the command's own."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end."""
        self.exit(125, f"fleet-emulate: {message}\n")


def prepare(wanted: Platform, architecture: str, root: Path | None) -> None:
    """Make this process one that runs the platform's programs."""
    if root is not None and not root.is_dir():
        raise CannotEmulate(f"{root} is no root file system: there is no such folder")
    native = platform.machine() == wanted.machine
    if native and root is None:
        print(f"fleet-emulate: this host is {architecture}: nothing is emulated", file=sys.stderr)
        return
    interpreter = None if native else find_interpreter(wanted, needs_static=root is not None)
    registered = not native and host_handler(wanted)
    if root is not None or not registered:
        with own_namespaces():
            if not native and not registered:
                register(wanted, str(interpreter))
            if root is not None:
                enter(root)
    prefix = f"/usr/{wanted.machine}-linux-gnu"
    if not native:
        os.environ["FLEET_EMULATED"] = architecture
        if root is None and os.path.isdir(prefix):  # the libraries of a cross compiler
            os.environ.setdefault("QEMU_LD_PREFIX", prefix)


def find_interpreter(wanted: Platform, *, needs_static: bool) -> str:
    """Return the emulator's path; raises CannotEmulate where none is installed."""
    found = shutil.which(f"qemu-{wanted.qemu}-static")
    if found is None and not needs_static:
        found = shutil.which(f"qemu-{wanted.qemu}")
    if found is None:
        raise CannotEmulate(
            f"no handler for {wanted.machine} on this host: install qemu-user-static"
        )
    return found


def host_handler(wanted: Platform, registry: Path = REGISTRY) -> bool:
    """Return whether the host's own registry runs this platform, also in another root."""
    for entry in registry.glob("*"):
        try:
            lines = entry.read_text("ascii", errors="replace").splitlines()
        except OSError:
            continue
        magic = next((line.split()[1] for line in lines if line.startswith("magic ")), "")
        flags = next((line.split(":")[1] for line in lines if line.startswith("flags:")), "")
        if lines[:1] == ["enabled"] and magic == wanted.magic.hex() and "F" in flags:
            return True
    return False


@contextlib.contextmanager
def own_namespaces() -> Iterator[None]:
    """Go into namespaces of our own, as their root while the block lasts, then as ourselves again.

    Only their root may register emulators and mount; the command must not be it.
    """
    uid, gid, here = os.getuid(), os.getgid(), os.getcwd()
    new_user(CLONE_NEWNS, (0, uid), (0, gid))
    mount("none", "/", "", MS_REC | MS_PRIVATE)
    yield
    os.chdir(here)
    if uid != 0:
        new_user(0, (uid, 0), (gid, 0))


def new_user(flags: int, uid: tuple[int, int], gid: tuple[int, int]) -> None:
    """Go into a user namespace where our user and group have other numbers: inside, outside."""
    libc("unshare", CLONE_NEWUSER | flags)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid[0]} {uid[1]} 1")
    Path("/proc/self/gid_map").write_text(f"{gid[0]} {gid[1]} 1")


def register(wanted: Platform, interpreter: str) -> None:
    """Tell a registry of our own which programs the emulator runs."""
    try:
        mount("binfmt_misc", str(REGISTRY), "binfmt_misc", 0)
    except OSError as err:
        raise CannotEmulate(
            f"this kernel ({platform.release()}) gives no binfmt registry to a user namespace "
            f"({err.strerror}): use Linux 6.7 or newer, or register qemu-user-static on the host"
        ) from err
    rule = f":fleet-{wanted.qemu}:M::{escaped(wanted.magic)}:{escaped(MASK)}:{interpreter}:F"
    (REGISTRY / "register").write_text(rule)


def escaped(data: bytes) -> str:
    """Return bytes as the registry reads them."""
    return "".join(f"\\x{byte:02x}" for byte in data)


def enter(root: Path) -> None:
    """Make a root file system this process's own; what is written to it goes to memory."""
    here = os.getcwd()
    top = Path(tempfile.gettempdir()) / "fleet-emulate"
    top.mkdir(exist_ok=True)  # stays empty: what is mounted on it only we see
    mount("tmpfs", str(top), "tmpfs", 0)
    upper, work, new = top / "upper", top / "work", top / "root"
    for folder in (upper, work, new):
        folder.mkdir()
    layers = f"lowerdir={os.path.abspath(root)},upperdir={upper},workdir={work},userxattr"
    mount("overlay", str(new), "overlay", 0, layers)
    folders = [os.environ.get(name, "") for name in JOB_FOLDERS]
    shared = ["/proc", "/dev", "/sys", here, *folders]
    # Outer folders first: an inner one is in them already, and mounting it again does no harm.
    for path in sorted({os.path.abspath(path) for path in shared if path}):
        if path != "/" and os.path.isdir(path):
            target = f"{new}{path}"
            os.makedirs(target, exist_ok=True)
            mount(path, target, "", MS_BIND | MS_REC)
    for name in ("/etc/resolv.conf", "/etc/hosts"):
        if os.path.isfile(name):
            os.makedirs(f"{new}/etc", exist_ok=True)
            copy = Path(f"{new}{name}")
            copy.unlink(missing_ok=True)
            shutil.copyfile(name, copy)
    # Not a mere chroot: inside one the kernel makes no further user namespace.
    os.chdir(new)
    mount(".", "/", "", MS_MOVE)
    os.chroot(".")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Mount; raises OSError that names the target."""
    libc(
        "mount",
        source.encode(),
        target.encode(),
        kind.encode() or None,
        flags,
        options.encode() or None,
        path=target,
    )


def libc(name: str, *arguments: object, path: str = "") -> None:
    """Call the C library; raises OSError as Python's own calls do."""
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        words = f"{name}: {os.strerror(number)}"
        raise OSError(number, words, path or None)


if __name__ == "__main__":
    main()
