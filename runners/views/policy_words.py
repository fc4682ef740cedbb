"""A pool's policy as a person would say it."""

from __future__ import annotations

from collections.abc import Iterator

from runners.forms.windows import as_text
from runners.pool_policy import Policy, scaling_policy
from runners.templatetags.fleet import coarse


def policy_sentences(policy: Policy) -> list[str]:
    """What the policy says, a sentence each; what it leaves open is not said."""
    return [*_how_many(policy), *_when(policy), *_life(policy), *_hosts(policy), *_who(policy)]


def _how_many(policy: Policy) -> Iterator[str]:
    yield f"Keep {_runners(policy.min_idle, 'idle runner')} ready."
    if policy.warm_spares:
        yield f"While it works, keep {_runners(policy.warm_spares, 'warm spare')} at least."
    yield f"Never run more than {policy.max_runners} at a time."
    for line in as_text(policy.windows).splitlines():
        yield f"Other limits: {line} ({policy.time_zone})."


def _when(policy: Policy) -> Iterator[str]:
    # What the preset leaves open is filled in as the scaler does it
    rules = scaling_policy(policy, start_deadline_seconds=0)
    jobs, seconds = rules.trigger_jobs, int(rules.trigger_after.total_seconds())
    if jobs == 1:
        yield "Start runners as soon as a job waits."
    else:
        yield f"Start runners when {jobs} jobs wait, or one has waited {coarse(seconds)}."
    if policy.scale_up_step:
        yield f"Start at most {policy.scale_up_step} at a time."
    if policy.cooldown_seconds:
        yield f"Then wait {coarse(policy.cooldown_seconds)} before starting more."
    yield f"Let a runner go after {coarse(int(rules.idle_timeout.total_seconds()))} without a job."


def _life(policy: Policy) -> Iterator[str]:
    if policy.ephemeral:
        yield "Each takes one job, then GitHub deregisters it."
    else:
        yield "Each runs until it is stopped: the host keeps a registration key."
    if policy.max_lifetime_seconds:
        yield f"None grows older than {coarse(policy.max_lifetime_seconds)}."
    if policy.start_deadline_seconds is not None:
        yield f"One not online after {coarse(policy.start_deadline_seconds)} is replaced."


def _hosts(policy: Policy) -> Iterator[str]:
    if policy.sites:
        sites = ", then ".join(policy.sites)
        if policy.sites_only:
            yield f"Only on hosts in {sites}."
        else:
            yield f"Prefer hosts in {sites}; others serve when those are full."
    needs = ["a GPU"] if policy.needs_gpu else []
    if policy.needs_gpu and policy.runners_per_gpu > 1:
        needs = [f"a GPU, shared by {policy.runners_per_gpu}"]
    if policy.architecture:
        needs.append(f"{policy.architecture} hosts")
    if policy.host_labels:
        needs.append(f"the host labels {', '.join(policy.host_labels)}")
    if needs:
        yield f"Needs {' and '.join(needs)}."
    if policy.emulation:
        yield "Emulated hosts serve, too, once native ones are full."
    takes = [
        f"{amount} {unit}"
        for amount, unit in (
            (policy.cpus, "cores"),
            (policy.memory_gib, "GiB of memory"),
            (policy.disk_gib, "GiB of disk"),
        )
        if amount
    ]
    if takes:
        yield f"Each takes {', '.join(takes)} of its host."


def _who(policy: Policy) -> Iterator[str]:
    if policy.repositories:
        yield f"Only for {', '.join(policy.repositories)}."
    if policy.runner_group_id is not None:
        yield f"In the runner group {policy.runner_group_name or policy.runner_group_id}."
    if policy.priority:
        yield f"Priority {policy.priority}: higher ones come first where hosts are shared."
    if policy.weight != 1:
        yield f"Its share among pools of one priority counts {policy.weight} times."


def _runners(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
