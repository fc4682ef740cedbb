"""What becomes of runners when their host's hardware is not what it was: drained, and said so.

Which GPU a runner is given is `placement.free_gpu`'s to choose: one GPU, or one instance of a
divided one, is one runner's alone, unless its pool lets several share one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from runners import audit, lifecycle
from runners.audit import Actor
from runners.errors import IllegalTransition, StaleState
from runners.hardware_labels import ARCHITECTURES, unproved
from runners.models import Event, Host, Label, Runner
from runners.states import RunnerState


def note_lost(host: Host, had: Sequence[str], *, now: datetime) -> None:
    """Record which of the GPUs that a host had it has no more."""
    for device in [device for device in had if device not in host.gpu_devices]:
        audit.record(
            host, "host.gpu-lost", by=_agent(host), at=now, reason=why_lost(host, device)[:500]
        )


def drain_without(host: Host, runners: Sequence[Runner], *, now: datetime) -> list[Runner]:
    """Drain each runner whose GPU its host has no more; a job on it is left to end."""
    devices = set(host.gpu_devices)
    drained = []
    for runner in runners:
        serving = runner.state in (RunnerState.PROVISIONING, RunnerState.ACTIVE)
        if not (runner.gpu and serving) or runner.gpu in devices:
            continue
        if _drain(runner, why_lost(host, runner.gpu), host, now):
            drained.append(runner)
    return drained


def _drain(runner: Runner, reason: str, host: Host, now: datetime) -> bool:
    try:
        lifecycle.drain(runner, by=_agent(host), reason=reason, now=now)
    except (IllegalTransition, StaleState):
        return False  # it moved a moment ago, and every move from here leads out
    return True


def drain_untrue(host: Host, runners: Sequence[Runner], *, now: datetime) -> list[Runner]:
    """Drain each runner that promises an architecture its host turned out not to have."""
    serving = [r for r in runners if r.state in (RunnerState.PROVISIONING, RunnerState.ACTIVE)]
    names = Label.objects.filter(runners__in=serving).values_list("runners", "name")
    drained = []
    for pk, name in names if serving else []:
        why = unproved(name, host) if name.lower() in ARCHITECTURES else ""
        runner = next(r for r in serving if r.pk == pk)
        if why and runner not in drained and _drain(runner, f"It carries {name}: {why}", host, now):
            drained.append(runner)
    return drained


def why_lost(host: Host, device: str) -> str:
    """Say what became of a GPU, in the words of the host."""
    for gpu in host.gpus:
        instances = [one["uuid"] for one in gpu.get("mig", [])]
        if device in (gpu.get("uuid"), f"pci:{gpu.get('pci', '')}", *instances):
            return f"Its GPU {gpu.get('model', device)} is lost: {gpu.get('reason') or 'no reason'}"
    return f"Its GPU {device} is not in {host.name} any more"


def _agent(host: Host) -> Actor:
    return Actor(Event.ActorKind.AGENT, host.name)
