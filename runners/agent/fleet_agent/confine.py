"""Give a child process a view of its own before it becomes a runner: whom and what it can see.

Own process ids, own mounts, own System V memory: the job sees its own processes, its own files and
its own temporary files, and of the host's system what every user may read. Runs in the keeper's
child (or, as a program, around one command) under ``python -I -S``: standard library only. What
cannot be done raises OSError, and then nothing is started: a runner is never started less confined
than its order says.

Usage as a program: ``confine.py`` with the order (JSON: argv, cwd, env, view, groups) on standard
input; it ends with the command's exit code.
"""

import contextlib
import ctypes
import json
import os
import signal
import stat
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
SIGNALLED = 128  # as shells say it: 137 is signal 9
LIBC = ctypes.CDLL(None, use_errno=True)


def become_confined(order: "dict[str, object]") -> None:
    """Set the limits and leave the host's process ids; the next child sees only its own.

    Called by the process that will be the runner's parent; it stays in the host's view itself.
    """
    view = order["view"]
    flags = CLONE_NEWPID
    if view["user_namespace"]:  # type: ignore[index]
        flags |= CLONE_NEWUSER
    uid, gid = os.geteuid(), os.getegid()
    call("unshare", LIBC.unshare(flags), "new process ids")
    if flags & CLONE_NEWUSER:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{uid} {uid} 1")
        write("/proc/self/gid_map", f"{gid} {gid} 1")


def join_groups(order: "dict[str, object]") -> None:
    """Put this process into its control groups, so that whatever it starts is limited too."""
    for path in order.get("groups", ()):  # type: ignore[attr-defined]
        write(str(path), "0")


def enter_view(view: "dict[str, object]") -> None:
    """Build the mounts of a view in this process and give up every privilege."""
    call("unshare", LIBC.unshare(CLONE_NEWNS | CLONE_NEWIPC), "new mounts")
    mount(None, "/", None, MS_REC | MS_PRIVATE, None)
    binds = [(open_path(str(b[0])), str(b[1]), bool(b[2])) for b in view["binds"]]  # type: ignore[attr-defined]
    # What is kept of a hidden directory is named by its own path.
    keeps = [(open_path(str(p)), str(p), False) for p in view["keep"] if os.path.exists(str(p))]  # type: ignore[attr-defined]
    for path in view["hide"]:  # type: ignore[attr-defined]
        if os.path.isdir(str(path)):
            mount("tmpfs", str(path), "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=1m")
    for path in view["memory"]:  # type: ignore[attr-defined]
        if os.path.isdir(str(path)):
            mount("tmpfs", str(path), "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")
    for source, target, read_only in (*binds, *keeps):
        bind(source, target, read_only=read_only)
    # Last: the binds above go through the old one.
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
    drop_privileges(view)


def bind(source: int, target: str, *, read_only: bool) -> None:
    """Show an opened file or directory at another path, which is made if it is not there."""
    if stat.S_ISDIR(os.fstat(source).st_mode):
        os.makedirs(target, mode=0o755, exist_ok=True)
    elif not os.path.exists(target):
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    mount(f"/proc/self/fd/{source}", target, None, MS_BIND | MS_REC, None)
    os.close(source)
    if read_only:
        # Flags that were set by somebody more privileged must be named again to be kept.
        kept = os.statvfs(target).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
        mount(None, target, None, MS_BIND | MS_REMOUNT | MS_RDONLY | kept, None)


def drop_privileges(view: "dict[str, object]") -> None:
    """Become the slot's user, and make sure that nothing started from here gains rights again."""
    uid = view["uid"]
    if uid is not None:
        os.setgroups([int(g) for g in view["groups"]])  # type: ignore[attr-defined]
        os.setresgid(uid, uid, uid)  # type: ignore[arg-type]
        os.setresuid(uid, uid, uid)  # type: ignore[arg-type]
    call("prctl", LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")
    # Nobody with the same user id reads this process's memory or environment.
    call("prctl", LIBC.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "no dumps")


def be_init(order: "dict[str, object]", output: int, ready: int, go: int) -> int:
    """Be the first process of the view: start the runner, reap, end with the runner's exit code.

    When this process ends, the kernel ends whatever is left in the view. The runner's real process
    id is its parent's to find: the number 1 is written to ``ready`` once there is a child, and
    nothing is reaped before ``go`` is closed.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        enter_view(order["view"])  # type: ignore[arg-type]
    except OSError as err:
        os.write(output, f"An error occurred: cannot confine the runner: {err}\n".encode())
        return 126
    child = os.fork()
    if child == 0:
        try:
            become(order, output)
        finally:
            os._exit(127)
    os.write(ready, b"1")
    os.close(ready)
    os.read(go, 1)
    for descriptor in (go, output):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code


def start(order: "dict[str, object]", output: int) -> "tuple[int, int, int]":
    """Start a confined runner; return the child to wait for and the runner, as the host sees them.

    They are the same when the runner could not be started. The third is a descriptor: until it is
    closed the runner's process id stays its own, even if it ended.
    """
    become_confined(order)
    ready_read, ready = os.pipe2(os.O_CLOEXEC)
    go, go_write = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        code = 127
        try:
            os.setsid()
            os.close(ready_read)
            os.close(go_write)
            join_groups(order)
            # Whatever else is open here is the keeper's.
            close_all_but(output, ready, go)
            code = be_init(order, output, ready, go)
        finally:
            os._exit(code)
    os.close(ready)
    os.close(go)
    runner = pid
    if os.read(ready_read, 1):
        runner = only_child(pid) or pid
    os.close(ready_read)
    return pid, runner, go_write


def close_all_but(*kept: int) -> None:
    """Close every descriptor but the standard ones and these."""
    low = 3
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, 4096)


def only_child(pid: int) -> "int | None":
    """Return the process below this one, by the kernel's own list or by looking at all."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
        children = file.read().split()
        if children:
            return int(children[0])
    for name in os.listdir("/proc"):
        with (
            contextlib.suppress(OSError, ValueError, IndexError),
            open(f"/proc/{int(name)}/stat", "rb") as file,
        ):
            if int(file.read().rpartition(b")")[2].split()[1]) == pid:
                return int(name)
    return None


def become(order: "dict[str, object]", output: int) -> None:
    """Turn this forked child into the command; only returns (to be ended) when that failed."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.umask(0o022)
    if order.get("cpus"):
        with contextlib.suppress(OSError):  # one was taken away meanwhile: the quota still holds
            os.sched_setaffinity(0, [int(cpu) for cpu in order["cpus"]])  # type: ignore[attr-defined]
    argv = [str(part) for part in order["argv"]]  # type: ignore[attr-defined]
    environment = {str(k): str(v) for k, v in order["env"].items()}  # type: ignore[attr-defined]
    try:
        os.chdir(str(order["cwd"]))
        os.execve(argv[0], argv, environment)  # noqa: S606  (no shell is meant)
    except OSError as err:
        os.write(2, f"An error occurred: cannot start {argv[0]}: {err.strerror}\n".encode())


def become_limited(order: "dict[str, object]", output: int) -> None:
    """Turn this forked child into the command within its limits; never returns."""
    code = 127
    try:
        join_groups(order)
        become(order, output)
    except OSError as err:
        os.write(output, f"An error occurred: cannot be limited: {err}\n".encode())
        code = 126
    finally:
        os._exit(code)


def mount(
    source: "str | None", target: str, kind: "str | None", flags: int, data: "str | None"
) -> None:
    """Call mount(2)."""
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, data)]
    done = LIBC.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3])
    call("mount", done, target)


def call(name: str, result: int, what: str) -> None:
    """Raise what the last call of the C library failed with."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name} ({what}): {os.strerror(number)}")


def open_path(path: str) -> int:
    """Open something for being bound elsewhere."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def write(path: str, text: str) -> None:
    """Write a kernel file in one go."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def main() -> int:
    """Run one command in its view, wait for it, and end with its exit code."""
    order = json.loads(sys.stdin.buffer.read())
    try:
        if order.get("view"):
            pid, _, held = start(order, 1)
            os.close(held)
        else:
            pid = os.fork()
            if pid == 0:
                become_limited(order, 1)
    except OSError as err:
        os.write(2, f"cannot confine: {err}\n".encode())
        return 126
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return code if code >= 0 else SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main())
