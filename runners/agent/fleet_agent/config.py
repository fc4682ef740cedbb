"""The agent's state directory: what lies where, the stored configuration, the token, the lock.

Only the token file holds a secret (mode 0600, written whole); no other file of the state
directory ever does. One agent at a time owns a state directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from .errors import AgentError
from .urls import require_safe_url
from .wire import BadAnswer, JsonObject, as_object, take


class NotEnrolled(AgentError):
    """This state directory holds no enrolment."""


class AlreadyRunning(AgentError):
    """Another agent owns this state directory."""


@dataclass(frozen=True)
class Config:
    """What an enrolment leaves behind; no secret."""

    server_url: str
    host_id: int
    host_name: str
    heartbeat_seconds: float
    ca_file: str | None = None


class StateDir:
    """Paths below one state directory, and the few files written straight into it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config_file = root / "agent.json"
        self.token_file = root / "token"
        self.lock_file = root / "lock"
        self.wake_fifo = root / "wake"
        self.status_file = root / "status.json"
        self.journal_file = root / "journal.jsonl"
        self.cut_file = root / "drill.cut"
        self.packages = root / "packages"
        self.slots = root / "slots"

    def create(self) -> None:
        """Make the directory, for the agent's own user only."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)

    def save(self, config: Config, token: str) -> None:
        """Store an enrolment: the token first, so that a configuration always has one."""
        self.save_token(token)
        write_whole(self.config_file, json.dumps(asdict(config), indent=2) + "\n")

    def save_token(self, token: str) -> None:
        """Store the token, readable by the agent's own user only."""
        write_whole(self.token_file, token + "\n")

    def load(self) -> tuple[Config, str]:
        """Return the enrolment; raises NotEnrolled."""
        try:
            source = as_object(json.loads(self.config_file.read_text("utf-8")), "configuration")
            token = self.token_file.read_text("utf-8").strip()
            config = parse_config(source)
        except FileNotFoundError:
            raise NotEnrolled(
                f"{self.root} holds no enrolment: run `fleet-agent enrol` first"
            ) from None
        except (OSError, ValueError, BadAnswer) as err:
            raise NotEnrolled(f"the enrolment in {self.root} cannot be read: {err}") from err
        require_safe_url(config.server_url, "the server's address")
        return config, token

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Own this state directory until the block ends; raises AlreadyRunning."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise AlreadyRunning(f"another agent is running with {self.root}") from None
        finally:
            os.close(descriptor)

    def is_locked(self) -> bool:
        """Return whether an agent is running with this state directory."""
        try:
            with self.lock():
                return False
        except AlreadyRunning:
            return True
        except OSError:
            return False


def parse_config(source: JsonObject) -> Config:
    """Parse the stored configuration; raises BadAnswer when it is damaged."""
    ca_file = source.get("ca_file")
    return Config(
        server_url=take(source, "server_url", str),
        host_id=take(source, "host_id", int),
        host_name=take(source, "host_name", str),
        heartbeat_seconds=take(source, "heartbeat_seconds", float),
        ca_file=ca_file if isinstance(ca_file, str) else None,
    )


def write_whole(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file so that it is the old one or the new one, never half; mode 0600.

    ``durable`` also waits until it would survive a power cut.
    """
    temporary = path.with_name(path.name + ".new")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    with os.fdopen(os.open(temporary, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    os.replace(temporary, path)


def open_wake_fifo(state_dir: StateDir) -> int:
    """Return the fifo through which keepers, threads and signals wake the agent."""
    path = state_dir.wake_fifo
    if not path.is_fifo():
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
    # Open for both, so that it never reports an end and writing to it never fails for want of a
    # reader.
    return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
