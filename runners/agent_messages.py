"""The agent's messages as typed values: parsed once, at the edge; a bad one names what is wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypedDict

from runners.errors import InvalidRequest
from runners.failure import Cause
from runners.host_facts import GPUS_LIMIT, TEXT_LIMIT, VERDICTS, Facts, parse_facts
from runners.states import Phase
from runners.untrusted import LARGEST_INTEGER, clean, integer, moment, number, text

PROTOCOL = 1
OLDEST_PROTOCOL = 1
SLOTS_LIMIT = 256
JOURNAL_LIMIT = 200
LEFTOVERS_LIMIT = 50
LOG_TAIL_CHARACTERS = 4096
# What an agent may name; a code we do not know (a newer agent's) reads as `exit`.
FINISHED = "finished"
AGENT_CAUSES = frozenset(
    {
        FINISHED,
        Cause.EXIT.value,
        Cause.SIGNAL.value,
        Cause.OOM.value,
        Cause.DISK_FULL.value,
        Cause.DEPRECATED.value,
        Cause.REGISTRATION.value,
        Cause.PACKAGE.value,
        Cause.KEEPER_LOST.value,
        Cause.REBOOTED.value,
        Cause.STATE_LOST.value,
        Cause.HUNG.value,
    }
)
LEFTOVER_KINDS = ("work-directory", "process")
SAID_OF_A_SLOT = (
    "runner_id",
    "phase",
    "pid",
    "process_started_at",
    "exit_code",
    "reason",
    "cause",
    "job",
    "runner_version",
)


class ProtocolTooOld(InvalidRequest):
    """The agent speaks a protocol we no longer understand: it must be upgraded."""


class GpuReading(TypedDict):
    """How one GPU is doing; `id` is its uuid, or `pci:` and its place. None: it does not tell."""

    id: str
    temperature_celsius: float | None
    busy_percent: float | None
    memory_used_bytes: int | None


@dataclass(frozen=True, slots=True)
class SampleReport:
    """One measurement; bytes and percent."""

    cpu_percent: float
    memory_used_bytes: int
    disk_used_bytes: int
    load1: float | None
    network_sent_bytes: int | None
    network_received_bytes: int | None
    temperature_celsius: float | None
    gpu_readings: tuple[GpuReading, ...] = ()
    github_p95_ms: float | None = None
    github_verdict: str = ""


@dataclass(frozen=True, slots=True)
class EndFacts:
    """How the host was in the second a runner ended; None where the agent could not tell."""

    at: datetime | None
    cpu_percent: float | None
    memory_used_bytes: int | None
    disk_free_bytes: int | None


@dataclass(frozen=True, slots=True)
class SlotReport:
    """What the host says of one runner's process.

    `cause` is "" or one of AGENT_CAUSES. `log_tail` and `end_facts` come with the first reports of
    an end only, until one was answered: what is not there was told before.
    """

    runner_id: int
    phase: Phase
    pid: int | None
    process_started_at: datetime | None
    exit_code: int | None
    reason: str
    job_name: str
    job_started_at: datetime | None
    runner_version: str
    cpu_percent: float | None
    memory_bytes: int | None
    cause: str = ""
    log_tail: str = ""
    end_facts: EndFacts | None = None


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something on a host that belongs to no runner it should have.

    `kind` is one of LEFTOVER_KINDS; `name` is what the answer's `clean` calls it by; `bytes` on the
    disk or in memory, None when not measured.
    """

    kind: str
    name: str
    path: str
    pid: int | None
    since: datetime | None
    bytes: int | None


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Something that happened on the host since the last heartbeat we took; told at least once."""

    seq: int
    at: datetime
    kind: str
    runner_id: int | None
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Report:
    """One heartbeat; `leftovers` is None when it does not speak of them (nothing changed)."""

    agent_version: str
    boot_id: str
    wanted_version: int | None
    at: datetime | None
    facts: Facts | None
    sample: SampleReport | None
    digest: str
    slots: tuple[SlotReport, ...] = field(default=())
    journal: tuple[JournalEntry, ...] = field(default=())
    leftovers: tuple[Leftover, ...] | None = None


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """A machine that wants to become a host; `code` is a secret."""

    code: str = field(repr=False)
    name: str
    facts: Facts
    agent_version: str
    site: str
    slots: int | None


def parse_enrol(data: Mapping[str, object]) -> EnrolRequest:
    """Read an enrol message. Raises InvalidRequest (ProtocolTooOld) naming what is missing."""
    _check_protocol(data)
    return EnrolRequest(
        code=_required_text(data, "code"),
        name=_required_text(data, "name"),
        facts=parse_facts(_required_object(data, "facts")),
        agent_version=text(data, "agent_version", 40),
        site=text(data, "site", 60),
        slots=integer(data, "slots", high=LARGEST_INTEGER),
    )


def parse_heartbeat(data: Mapping[str, object]) -> Report:
    """Read a heartbeat. Raises InvalidRequest (ProtocolTooOld) naming what is missing."""
    _check_protocol(data)
    slots = data.get("slots")
    journal = data.get("journal", [])
    if not isinstance(slots, list) or not isinstance(journal, list):
        raise InvalidRequest("slots and journal must be lists.")
    facts = data.get("facts")
    sample = data.get("sample")
    return Report(
        agent_version=text(data, "agent_version", 40),
        boot_id=text(data, "boot_id", 64),
        wanted_version=integer(data, "wanted_version"),
        at=moment(data, "at"),
        facts=parse_facts(facts) if isinstance(facts, dict) else None,
        sample=parse_sample(sample) if isinstance(sample, dict) else None,
        digest=quiet_digest(data),
        slots=tuple(_slot(item) for item in slots[:SLOTS_LIMIT]),
        journal=tuple(_entry(item) for item in journal[:JOURNAL_LIMIT]),
        leftovers=_leftovers(data.get("leftovers")),
    )


def quiet_digest(data: Mapping[str, object]) -> str:
    """SHA-256 over what a heartbeat says of the agent and its slots, measurements left out.

    Leftovers are in it, so that news of them never passes for a quiet heartbeat.
    """
    slots = data.get("slots")
    said = [
        [slot.get(name) for name in SAID_OF_A_SLOT]
        for slot in (slots if isinstance(slots, list) else [])
        if isinstance(slot, dict)
    ]
    agent = [data.get("wanted_version"), data.get("agent_version"), data.get("boot_id")]
    if "leftovers" in data:
        agent.append(data["leftovers"])
    return hashlib.sha256(json.dumps([agent, said]).encode()).hexdigest()


def _slot(item: object) -> SlotReport:
    if not isinstance(item, dict):
        raise InvalidRequest("Each slot must be an object.")
    runner_id = integer(item, "runner_id")
    phase = item.get("phase")
    if runner_id is None or not phase or phase not in Phase.values:
        raise InvalidRequest("Each slot needs a runner_id and a known phase.")
    job = item.get("job")
    job = job if isinstance(job, dict) else {}
    return SlotReport(
        runner_id=runner_id,
        phase=Phase(str(phase)),
        pid=integer(item, "pid", high=LARGEST_INTEGER),
        process_started_at=moment(item, "process_started_at"),
        exit_code=integer(item, "exit_code", low=-LARGEST_INTEGER, high=LARGEST_INTEGER),
        reason=text(item, "reason", 500),
        job_name=text(job, "name", 300),
        job_started_at=moment(job, "started_at"),
        runner_version=text(item, "runner_version", 40),
        cpu_percent=number(item, "cpu_percent"),
        memory_bytes=integer(item, "memory_bytes"),
        cause=_cause(item),
        log_tail=_end_of(item, "log_tail", LOG_TAIL_CHARACTERS),
        end_facts=_end_facts(item.get("facts_at_end")),
    )


def _cause(item: Mapping[str, object]) -> str:
    said = text(item, "cause", 40)
    return said if not said or said in AGENT_CAUSES else Cause.EXIT.value


def _end_of(data: Mapping[str, object], key: str, limit: int) -> str:
    """The last `limit` characters: of a log, the end is what matters."""
    value = data.get(key)
    return clean(value[-limit:]) if isinstance(value, str) else ""


def _end_facts(item: object) -> EndFacts | None:
    if not isinstance(item, dict):
        return None
    return EndFacts(
        at=moment(item, "at"),
        cpu_percent=number(item, "cpu_percent"),
        memory_used_bytes=integer(item, "memory_used_bytes"),
        disk_free_bytes=integer(item, "disk_free_bytes"),
    )


def _leftovers(items: object) -> tuple[Leftover, ...] | None:
    """What is left over on the host; None when the heartbeat does not speak of it.

    An entry without a name or of a kind we do not know is left out: it could be neither shown
    rightly nor cleaned.
    """
    if not isinstance(items, list):
        return None
    return tuple(
        Leftover(
            kind=str(item["kind"]),
            name=text(item, "name", 200),
            path=text(item, "path", 500),
            pid=integer(item, "pid", high=LARGEST_INTEGER),
            since=moment(item, "since"),
            bytes=integer(item, "bytes"),
        )
        for item in items[:LEFTOVERS_LIMIT]
        if isinstance(item, dict)
        and item.get("kind") in LEFTOVER_KINDS
        and text(item, "name", 200).strip()
    )


def _entry(item: object) -> JournalEntry:
    if not isinstance(item, dict):
        raise InvalidRequest("Each journal entry must be an object.")
    seq, at, kind = integer(item, "seq"), moment(item, "at"), text(item, "kind", 40)
    if seq is None or at is None or not kind:
        raise InvalidRequest("Each journal entry needs seq, at and kind.")
    detail = item.get("detail")
    return JournalEntry(
        seq=seq,
        at=at,
        kind=kind,
        runner_id=integer(item, "runner_id"),
        detail=detail if isinstance(detail, dict) else {},
    )


def parse_sample(item: Mapping[str, object]) -> SampleReport:
    """Read the SAMPLE object of a heartbeat; what is not a number reads as nothing used."""
    github = item.get("github")
    github = github if isinstance(github, dict) else {}
    readings = item.get("gpus")
    return SampleReport(
        cpu_percent=number(item, "cpu_percent") or 0.0,
        memory_used_bytes=integer(item, "memory_used_bytes") or 0,
        disk_used_bytes=integer(item, "disk_used_bytes") or 0,
        load1=number(item, "load1"),
        network_sent_bytes=integer(item, "network_sent_bytes"),
        network_received_bytes=integer(item, "network_received_bytes"),
        temperature_celsius=number(item, "temperature_celsius"),
        gpu_readings=tuple(
            GpuReading(
                id=text(one, "id", TEXT_LIMIT),
                temperature_celsius=number(one, "temperature_celsius"),
                busy_percent=number(one, "busy_percent"),
                memory_used_bytes=integer(one, "memory_used_bytes"),
            )
            for one in (readings if isinstance(readings, list) else [])[:GPUS_LIMIT]
            if isinstance(one, dict)
        ),
        github_p95_ms=number(github, "p95_ms"),
        github_verdict=str(github["verdict"]) if github.get("verdict") in VERDICTS else "",
    )


def _check_protocol(data: Mapping[str, object]) -> None:
    protocol = data.get("protocol")
    if not isinstance(protocol, int) or isinstance(protocol, bool):
        raise InvalidRequest("protocol is missing: it must be a number.")
    if protocol < OLDEST_PROTOCOL:
        raise ProtocolTooOld(f"This agent speaks protocol {protocol}; upgrade it to {PROTOCOL}.")


def _required_text(data: Mapping[str, object], key: str) -> str:
    value = data.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(f"{key} is missing.")
    return clean(value.strip())


def _required_object(data: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise InvalidRequest(f"{key} is missing: it must be an object.")
    return value
