"""The messages of agent protocol 1 as types, and the only place where JSON becomes them.

Unknown fields are ignored; a missing or mistyped one raises BadAnswer, and the answer is dropped
as a whole: acting on half a wanted set could stop what should run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Literal, TypedDict, TypeVar

from .errors import AgentError
from .gpu.cards import Reading
from .latency import GitHubLatency
from .limits import Limits

JsonObject = dict[str, object]
Mode = Literal["jit", "persistent"]
T = TypeVar("T")


class BadAnswer(AgentError):
    """The server's answer does not follow the protocol."""


class Phase(str, Enum):
    """What a slot is doing, as the heartbeat reports it (docs/guide/agent-protocol.md)."""

    FETCHING = "fetching"
    PREPARING = "preparing"
    REGISTERING = "registering"
    STARTING = "starting"
    LISTENING = "listening"
    BUSY = "busy"
    STOPPING = "stopping"
    EXITED = "exited"
    FAILED = "failed"
    GONE = "gone"


@dataclass(frozen=True)
class Package:
    """A runner package to use: where it is and the digest it must have."""

    version: str
    os: str
    architecture: str
    filename: str
    url: str
    sha256: str


@dataclass(frozen=True)
class Wanted:
    """One runner of the wanted set; ``run`` False means stop, ``force`` even while busy.

    ``gpu`` is the GPU (or instance of one) that is this slot's, "" for none; ``emulates`` the
    architecture whose programs its steps may run emulated.
    """

    runner_id: int
    name: str
    slot: int
    run: bool
    force: bool
    mode: Mode
    work_folder: str
    package: Package | None
    gpu: str = ""
    emulates: str = ""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class HeartbeatAnswer:
    """What the server answers to a heartbeat: the whole wanted set of this host.

    ``wanted`` is None when nothing changed since the version the agent said it holds: it keeps the
    set it has. ``journal_seq`` is None then too: nothing of the journal was told. ``clean`` names
    leftovers that are to be removed; ``github_url`` is where GitHub is, "" when that is not said.
    """

    version: int
    journal_seq: int | None
    next_seconds: float
    want_facts: bool
    wanted: tuple[Wanted, ...] | None
    token: str | None
    clean: tuple[str, ...] = ()
    github_url: str = ""


@dataclass(frozen=True)
class Enrolment:
    """The answer to an enrolment; ``token`` is the agent's only credential."""

    host_id: int
    host_name: str
    token: str
    heartbeat_seconds: float

    def __repr__(self) -> str:
        return f"Enrolment(host_id={self.host_id}, host_name={self.host_name!r})"


@dataclass(frozen=True)
class Registration:
    """What ``config.sh`` needs to register a persistent runner; the token is a secret."""

    url: str
    token: str
    name: str
    labels: tuple[str, ...]
    runner_group: str
    ephemeral: bool
    work_folder: str

    def __repr__(self) -> str:
        return f"Registration(url={self.url!r}, name={self.name!r})"


class JobReport(TypedDict):
    """The job in progress on a slot."""

    name: str
    started_at: str | None


class EndFacts(TypedDict):
    """How the host was when a runner ended; ``cpu_percent`` of all cores."""

    at: str
    cpu_percent: float
    memory_used_bytes: int
    disk_free_bytes: int


class Ending(TypedDict):
    """What is told of an end once: the console's last lines, redacted, and the host's facts."""

    log_tail: str
    facts_at_end: EndFacts | None


class SlotState(TypedDict):
    """One slot as every heartbeat tells it; ``cpu_percent`` of one core, so it may pass 100."""

    runner_id: int
    name: str
    slot: int
    phase: str
    pid: int | None
    process_started_at: str | None
    exit_code: int | None
    reason: str
    cause: str
    job: JobReport | None
    runner_version: str
    cpu_percent: float
    memory_bytes: int


class SlotReport(SlotState, total=False):
    """One slot in a heartbeat, with what is told of its end where that is due."""

    log_tail: str
    facts_at_end: EndFacts | None


class Leftover(TypedDict):
    """Something on this host that belongs to no runner it should have.

    ``kind`` is ``work-directory`` or ``process``; ``bytes`` on the disk or in memory.
    """

    kind: str
    name: str
    path: str
    pid: int | None
    since: str | None
    bytes: int | None


class IsolationFacts(TypedDict):
    """How jobs are kept apart on this host; reasons are "" where there is nothing to explain.

    ``jobs_run_as`` is ``slot-user``, ``agent-user`` or ``root``; ``view`` ``private`` or
    ``shared``; ``credentials`` ``memory`` or ``disk``.
    """

    limits: list[str]
    limits_by: str
    limits_reason: str
    jobs_run_as: str
    view: str
    view_reason: str
    credentials: str
    shared: list[str]


class JournalEntry(TypedDict):
    """Something that happened, numbered for good within one state directory."""

    seq: int
    at: str
    runner_id: int | None
    kind: str
    detail: dict[str, str | int | None]


class SampleExtras(TypedDict, total=False):
    """What is measured beside the load, where there is something to measure."""

    gpus: list[Reading]
    github: GitHubLatency


class Sample(SampleExtras):
    """The host's load at one moment."""

    cpu_percent: float
    load1: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_used_bytes: int
    disk_total_bytes: int
    network_sent_bytes: int
    network_received_bytes: int
    temperature_celsius: float | None


def timestamp(moment: datetime | None = None) -> str:
    """Return a moment (now by default) as the protocol writes it."""
    moment = moment or datetime.now(timezone.utc)
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def timestamp_of(seconds: float) -> str:
    """Return seconds since the epoch as the protocol writes a time."""
    return timestamp(datetime.fromtimestamp(seconds, timezone.utc))


def take(source: JsonObject, key: str, kind: type[T]) -> T:
    """Return ``source[key]``, which must be there and of this kind (an integer is no boolean)."""
    value = source.get(key)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return kind(value)  # type: ignore[call-arg]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise BadAnswer(f"the server's answer has no usable {key!r}")
    return value


def as_object(value: object, what: str) -> JsonObject:
    """Return a JSON object, or raise BadAnswer."""
    if not isinstance(value, dict):
        raise BadAnswer(f"the server's {what} is no JSON object")
    return value


def optional_text(source: JsonObject, key: str) -> str | None:
    """Return a string, or None where it is missing or null."""
    value = source.get(key)
    return value if isinstance(value, str) and value else None


def parse_package(value: object) -> Package | None:
    """Parse the package of a wanted runner; null when there is none (to stop)."""
    if value is None:
        return None
    source = as_object(value, "package")
    return Package(
        version=take(source, "version", str),
        os=take(source, "os", str),
        architecture=take(source, "architecture", str),
        filename=take(source, "filename", str),
        url=take(source, "url", str),
        sha256=take(source, "sha256", str).lower(),
    )


def parse_wanted(value: object) -> Wanted:
    """Parse one runner of the wanted set."""
    source = as_object(value, "wanted runner")
    wanted = take(source, "wanted", str)
    mode = take(source, "mode", str)
    if wanted not in ("run", "stop") or mode not in ("jit", "persistent"):
        raise BadAnswer(f"the server wants {wanted!r} in mode {mode!r}: this agent is too old")
    return Wanted(
        runner_id=take(source, "runner_id", int),
        name=take(source, "name", str),
        slot=take(source, "slot", int),
        run=wanted == "run",
        force=take(source, "force", bool),
        mode="persistent" if mode == "persistent" else "jit",
        work_folder=take(source, "work_folder", str),
        package=parse_package(source.get("package")),
        gpu=optional_text(source, "gpu") or "",
        emulates=optional_text(source, "emulates") or "",
        limits=parse_limits(source.get("limits")),
    )


def parse_limits(value: object) -> Limits:
    """Parse the limits of a slot; absent or null is none but the usual number of processes."""
    if value is None:
        return Limits()
    source = as_object(value, "limits")
    cores = source.get("cpu_cores")
    if cores is not None and (isinstance(cores, bool) or not isinstance(cores, (int, float))):
        raise BadAnswer("the server's answer has no usable 'cpu_cores'")
    return Limits(
        cpu_cores=None if cores is None else float(cores),
        memory_bytes=optional_count(source, "memory_bytes"),
        pids=optional_count(source, "pids") or Limits().pids,
        io_weight=optional_count(source, "io_weight"),
    )


def optional_count(source: JsonObject, key: str) -> int | None:
    """Return a positive integer, or None where it is missing or null; raises BadAnswer."""
    value = source.get(key)
    if value is None:
        return None
    count = take(source, key, int)
    if count < 1:
        raise BadAnswer(f"the server's answer has no usable {key!r}")
    return count


def parse_heartbeat(source: JsonObject) -> HeartbeatAnswer:
    """Parse the answer to a heartbeat."""
    unchanged = "wanted" in source and source["wanted"] is None
    wanted = None if unchanged else take(source, "wanted", list)
    return HeartbeatAnswer(
        version=take(source, "version", int),
        journal_seq=None if unchanged else take(source, "journal_seq", int),
        next_seconds=take(source, "next_seconds", float),
        want_facts=source.get("want_facts") is True,
        wanted=None if wanted is None else tuple(parse_wanted(entry) for entry in wanted),
        token=optional_text(source, "token"),
        clean=parse_clean(source.get("clean")),
        github_url=optional_text(source, "github_url") or "",
    )


def parse_clean(value: object) -> tuple[str, ...]:
    """Parse the names of leftovers to remove; absent or null is none."""
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadAnswer("the server's answer has no usable 'clean'")
    return tuple(value)


def parse_enrolment(source: JsonObject) -> Enrolment:
    """Parse the answer to an enrolment."""
    host = as_object(source.get("host"), "host")
    return Enrolment(
        host_id=take(host, "id", int),
        host_name=take(host, "name", str),
        token=take(source, "token", str),
        heartbeat_seconds=take(source, "heartbeat_seconds", float),
    )


def parse_registration(source: JsonObject) -> Registration:
    """Parse the answer that carries a registration token."""
    return Registration(
        url=take(source, "url", str),
        token=take(source, "token", str),
        name=take(source, "name", str),
        labels=tuple(str(label) for label in take(source, "labels", list)),
        runner_group=take(source, "runner_group", str),
        ephemeral=take(source, "ephemeral", bool),
        work_folder=take(source, "work_folder", str),
    )
