"""Runners: one row per registered (or to be registered) instance of GitHub's runner application."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Self, cast

from django.db import models
from django.db.models import (
    Case,
    CharField,
    Count,
    Exists,
    F,
    Field,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Value,
    When,
)
from django.urls import reverse

from runners.failure import Cause
from runners.models.host import Host
from runners.states import (
    LIVE,
    ORDER,
    PROCESS_ENDED,
    SERVING,
    DisplayState,
    GitHubStatus,
    Phase,
    RunnerFacts,
    RunnerState,
    display_state,
)


class RunnerQuerySet(QuerySet["Runner"]):
    """Queries named after their use."""

    def live(self) -> Self:
        """Runners that still need work to reach their end."""
        return self.filter(state__in=LIVE)

    def towards_maximum(self) -> Self:
        """Runners that count towards the maximum of their pool: all that run a job or may do so."""
        leaving = Q(phase__in=PROCESS_ENDED) & (
            Q(state=RunnerState.ACTIVE, ephemeral=True) | Q(state=RunnerState.DRAINING)
        )
        return self.live().exclude(leaving | Q(state=RunnerState.REMOVING))

    def current(self) -> Self:
        """Runners a person cares about now: everything but the removed ones."""
        return self.exclude(state=RunnerState.REMOVED)

    def maybe_at_github(self) -> Self:
        """Runners GitHub may still have: live ones, failed ones it was not yet seen without, and
        closed ones whose answer came late."""
        late = Q(github_id__isnull=False, github_deleted_at__isnull=True)
        failed = Q(state=RunnerState.FAILED) & (
            Q(github_deleted_at__isnull=True) | Q(slot__isnull=False)
        )
        return self.filter(Q(state__in=LIVE) | failed | late)

    def counted(self, now: datetime) -> Iterable[tuple[int | None, str, str, int]]:
        """(pool id, state, display word, number) of the current runners; one scan for all who
        count."""
        rows = self.current().with_display_state(now).order_by()
        groups = rows.values_list("pool_id", "state", F("display"))
        return cast(Iterable[tuple[int | None, str, str, int]], groups.annotate(number=Count("pk")))

    def for_rows(self) -> Self:
        """Runners with what a line of a list shows, host and labels included."""
        return (
            self.select_related("host")
            .prefetch_related("labels")
            .only(
                "name",
                "slot",
                "ephemeral",
                "state",
                "state_reason",
                "quarantined_at",
                "phase",
                "phase_reason",
                "job_name",
                "job_started_at",
                "jobs_done",
                "cpu_percent",
                "memory_bytes",
                "github_status",
                "github_busy",
                "github_deleted_at",
                "created_at",
                "host__name",
                "host__offline_after",
            )
        )

    def perhaps_busy(self) -> Self:
        """Runners that may show as busy: a cheap look before their word is computed."""
        return self.filter(Q(phase=Phase.BUSY) | Q(github_busy=True), state=RunnerState.ACTIVE)

    def perhaps_down(self) -> Self:
        """Runners that may show as failed or offline: a cheap look before their word is
        computed."""
        return self.current().filter(
            Q(state=RunnerState.FAILED)
            | Q(phase__in=PROCESS_ENDED)
            | Q(github_status__in=[GitHubStatus.OFFLINE, GitHubStatus.ABSENT])
        )

    def failed_for_good(self) -> Self:
        """Failed runners that hold no slot and no registration, and wait for nobody."""
        waits = Q(replace_at__isnull=False) | Q(quarantined_at__isnull=False)
        registered = Q(github_id__isnull=False, github_deleted_at__isnull=True)
        return self.filter(state=RunnerState.FAILED, slot__isnull=True).exclude(waits | registered)

    def in_trouble(self, now: datetime) -> Self:
        """Runners that show as quarantined, failed or offline, and for which nothing was done yet.

        A failed one that holds nothing is history once another took its place, or once its pool,
        which keeps its size by itself, may start runners again.
        """
        pool_goes_on = Q(pool__consecutive_failures=0) | (
            Q(pool__consecutive_failures=1, pool__backoff_until__lte=now)
            & ~Q(failure_cause=Cause.DEPRECATED)
        )
        over = Runner.objects.failed_for_good().filter(
            Q(replaced_by__isnull=False) | pool_goes_on, pk=OuterRef("pk")
        )
        bad = (DisplayState.QUARANTINED, DisplayState.FAILED, DisplayState.OFFLINE)
        shown = self.perhaps_down().with_display_state(now).filter(Q(display__in=bad))
        return shown.exclude(Exists(over.order_by()))

    def for_fleet_map(self, host_ids: Iterable[int]) -> Self:
        """Runners that hold a slot of these hosts, with what a window of the map shows."""
        return self.filter(host_id__in=list(host_ids), slot__isnull=False).only(
            "name",
            "host_id",
            "slot",
            "state",
            "phase",
            "github_status",
            "github_busy",
            "quarantined_at",
            "job_name",
            "job_started_at",
        )

    def for_host(self, host_id: int) -> Self:
        """Everything this host should hear about: runners that hold one of its slots."""
        return self.filter(host_id=host_id, slot__isnull=False)

    def held_slots(self) -> Iterable[tuple[int, int]]:
        """(host id, slots held on it) of each host with one held."""
        held = self.filter(slot__isnull=False).order_by().values("host_id")
        return held.annotate(number=Count("pk")).values_list("host_id", "number")

    def held_sizes(self) -> Iterable[tuple[int, int, int, int, int]]:
        """(host id, cores, GiB of memory, GiB of disk, number) of sized runners that hold a
        slot."""
        sized = Q(pool__cpus__gt=0) | Q(pool__memory_gib__gt=0) | Q(pool__disk_gib__gt=0)
        held = self.filter(sized, slot__isnull=False).order_by()
        columns = ("host_id", "pool__cpus", "pool__memory_gib", "pool__disk_gib")
        rows = held.values(*columns).annotate(number=Count("pk")).values_list(*columns, "number")
        return cast(Iterable[tuple[int, int, int, int, int]], rows)

    def held_gpus(self) -> Iterable[tuple[int, int | None, int]]:
        """(host id, runners that may share a GPU, number) of runners that hold a slot and use
        one."""
        uses = ~Q(gpu="") | Q(pool__needs_gpu=True) | Q(pk__in=_labelled("gpu"))
        held = self.filter(uses, slot__isnull=False).order_by()
        columns = ("host_id", "pool__runners_per_gpu")
        rows = held.values(*columns).annotate(number=Count("pk")).values_list(*columns, "number")
        return cast(Iterable[tuple[int, int | None, int]], rows)

    def held_devices(self, host_id: int) -> Iterable[tuple[str, int, int | None]]:
        """(GPU, place on it, runners that may share it) of the host's runners that have one."""
        held = self.filter(host_id=host_id, slot__isnull=False).exclude(gpu="").order_by()
        rows = held.values_list("gpu", "gpu_place", "pool__runners_per_gpu")
        return cast(Iterable[tuple[str, int, int | None]], rows)

    def held_slot_numbers(self, host_ids: Iterable[int]) -> Iterable[tuple[int, int]]:
        """(host id, slot) of each slot held on these hosts."""
        held = self.filter(host_id__in=list(host_ids), slot__isnull=False).order_by()
        return cast(Iterable[tuple[int, int]], held.values_list("host_id", "slot"))

    def display_by_pool(self, pool_ids: Iterable[int]) -> Iterable[tuple[int, str]]:
        """(pool id, display word) of each runner that may serve; see `with_display_state`."""
        rows = self.filter(pool__in=list(pool_ids), state__in=SERVING)
        return cast(Iterable[tuple[int, str]], rows.values_list("pool_id", F("display")))

    def labels_only_on(self, pks: Iterable[int]) -> list[str]:
        """Labels that no serving runner but these carries, by name."""
        chosen = list(pks)
        serving = self.filter(state__in=SERVING)
        others = serving.exclude(pk__in=chosen).order_by().values_list("labels__name", flat=True)
        own = serving.filter(pk__in=chosen).order_by().values_list("labels__name", flat=True)
        return sorted({name for name in own.distinct() if name} - set(others.distinct()))

    def with_display_state(self, now: datetime) -> Self:
        """Annotate `display`, equal to `Runner.display_at(now)`, for filters and counts."""
        return self.annotate(display=_by_display(now, dict.fromkeys(DisplayState), CharField()))

    def with_urgency(self, now: datetime) -> Self:
        """Annotate `urgency`, the place of the display state in `ORDER`, for sorting."""
        return self.annotate(urgency=_by_display(now, ORDER, IntegerField()))


def _labelled(name: str) -> QuerySet[Any]:
    """Ids of runners with this label."""
    through = Runner.labels.through.objects.filter(label__name__iexact=name)
    return through.values("runner_id")


def _by_display(
    now: datetime, values: Mapping[DisplayState, int | None], field: Field[Any, Any]
) -> Case:
    """The rules of `display_state` as SQL, giving each state's value, or its word when None."""
    silent = Exists(Host.objects.filter(pk=OuterRef("host_id"), offline_after__lte=now).order_by())
    rules: tuple[tuple[Q | Exists, DisplayState], ...] = (
        (Q(state=RunnerState.REMOVED), DisplayState.REMOVED),
        (Q(state=RunnerState.REMOVING), DisplayState.REMOVING),
        (
            Q(state=RunnerState.FAILED, quarantined_at__isnull=False),
            DisplayState.QUARANTINED,
        ),
        (Q(state=RunnerState.FAILED), DisplayState.FAILED),
        (silent, DisplayState.LOST),
        (Q(state=RunnerState.DRAINING), DisplayState.DRAINING),
        (Q(state=RunnerState.PROVISIONING), DisplayState.STARTING),
        (Q(phase=Phase.BUSY) | Q(github_busy=True), DisplayState.BUSY),
        (
            Q(phase__in=PROCESS_ENDED)
            | Q(github_status__in=[GitHubStatus.OFFLINE, GitHubStatus.ABSENT]),
            DisplayState.OFFLINE,
        ),
    )
    return Case(
        *(When(rule, then=_value(values, state)) for rule, state in rules),
        default=_value(values, DisplayState.IDLE),
        output_field=field,
    )


def _value(values: Mapping[DisplayState, int | None], state: DisplayState) -> Value:
    number = values[state]
    return Value(state.value if number is None else number)


class Runner(models.Model):
    """One runner: what we want, what its host sees, what GitHub says, kept apart."""

    # Identity and settings
    name = models.CharField(max_length=64)
    scope = models.ForeignKey("runners.Scope", on_delete=models.PROTECT, related_name="runners")
    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="runners")
    pool = models.ForeignKey(
        "runners.Pool", null=True, blank=True, on_delete=models.SET_NULL, related_name="runners"
    )
    slot = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="The host's slot it holds; empty once given back."
    )
    ephemeral = models.BooleanField(default=True)
    # The host's GPU (or instance of one) it was given, and its place among those that share it
    gpu = models.CharField(max_length=100, blank=True, default="")
    gpu_place = models.PositiveSmallIntegerField(default=0)
    emulates = models.CharField(
        max_length=20, blank=True, default="", help_text="What its steps may run emulated."
    )
    labels = models.ManyToManyField("runners.Label", related_name="runners")
    runner_group_id = models.PositiveBigIntegerField(default=1)
    runner_group_name = models.CharField(max_length=100, blank=True, default="")
    work_folder = models.CharField(max_length=100, default="_work")
    # Wanted: written by lifecycle only
    state = models.CharField(
        max_length=20, choices=RunnerState.choices, default=RunnerState.PROVISIONING
    )
    state_changed_at = models.DateTimeField()
    state_reason = models.TextField(blank=True, default="")
    drain_deadline_at = models.DateTimeField(null=True, blank=True)
    force = models.BooleanField(default=False, help_text="Stop even if a job is running.")
    failure_cause = models.CharField(
        max_length=30, choices=Cause.choices, blank=True, default="", help_text="Why it failed."
    )
    # Its place in a row of replacements: whom it replaces, crashes in a row up to it, and when the
    # next may start
    replaces = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replaced_by"
    )
    crashes = models.PositiveSmallIntegerField(default=0)
    replace_at = models.DateTimeField(null=True, blank=True)
    quarantined_at = models.DateTimeField(null=True, blank=True)
    # Observed: what the host says, written by heartbeat only
    phase = models.CharField(max_length=20, choices=Phase.choices, blank=True, default="")
    pid = models.PositiveIntegerField(null=True, blank=True)
    process_started_at = models.DateTimeField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    phase_reason = models.TextField(blank=True, default="")
    job_name = models.CharField(max_length=300, blank=True, default="")
    job_started_at = models.DateTimeField(null=True, blank=True)
    job_ended_at = models.DateTimeField(null=True, blank=True)
    jobs_done = models.PositiveIntegerField(default=0)
    runner_version = models.CharField(max_length=40, blank=True, default="")
    cpu_percent = models.FloatField(null=True, blank=True)
    memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    # The highest of both since its job began; kept after it until the next begins
    job_peak_cpu_percent = models.FloatField(null=True, blank=True)
    job_peak_memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    observed_at = models.DateTimeField(null=True, blank=True)
    # GitHub: written by reconcile, webhooks and the registration answer only
    github_id = models.PositiveBigIntegerField(null=True, blank=True)
    github_status = models.CharField(
        max_length=10, choices=GitHubStatus.choices, blank=True, default=""
    )
    github_busy = models.BooleanField(default=False)
    github_labels = models.JSONField(default=list, blank=True)
    github_seen_at = models.DateTimeField(null=True, blank=True)
    github_offline_since = models.DateTimeField(null=True, blank=True)
    github_deleted_at = models.DateTimeField(null=True, blank=True)
    # Times
    created_at = models.DateTimeField()
    registered_at = models.DateTimeField(null=True, blank=True)
    online_at = models.DateTimeField(null=True, blank=True)
    removed_at = models.DateTimeField(null=True, blank=True)

    objects = RunnerQuerySet.as_manager()

    class Meta:
        ordering = ("name",)
        indexes = (
            # The fleet pages, the pools' counts and every sweep look at what is not removed
            models.Index(
                fields=("state", "host"),
                name="runner_current",
                condition=~Q(state="removed"),
            ),
            # reconcile: one scope's runners that may still be at GitHub
            models.Index(
                fields=("scope", "github_id"),
                name="runner_scope_github",
                condition=~Q(state="removed"),
            ),
            # Pacing: how many registrations began within the last minutes
            models.Index(fields=("created_at",), name="runner_created"),
            # recovery: failed runners whose replacement is due
            models.Index(
                fields=("replace_at",),
                name="runner_replace_due",
                condition=Q(replace_at__isnull=False),
            ),
            # history: the runners that came online on a day, for how long starting took
            models.Index(
                fields=("online_at",),
                name="runner_online",
                condition=Q(online_at__isnull=False),
            ),
        )
        constraints = (
            models.UniqueConstraint(
                fields=("scope", "name"),
                name="runner_name_unique_while_live",
                condition=~Q(state="removed"),
            ),
            models.UniqueConstraint(
                fields=("host", "slot"),
                name="runner_slot_unique",
                condition=Q(slot__isnull=False),
            ),
            models.UniqueConstraint(
                fields=("host", "gpu", "gpu_place"),
                name="runner_gpu_unique",
                condition=Q(slot__isnull=False) & ~Q(gpu=""),
            ),
            models.UniqueConstraint(
                fields=("scope", "github_id"),
                name="runner_github_id_unique",
                condition=Q(github_id__isnull=False),
            ),
            models.CheckConstraint(
                condition=Q(state__in=RunnerState.values), name="runner_state_known"
            ),
            models.CheckConstraint(condition=Q(phase__in=Phase.values), name="runner_phase_known"),
            models.CheckConstraint(
                condition=Q(github_status__in=GitHubStatus.values),
                name="runner_github_status_known",
            ),
        )

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("runner-detail", args=[self.pk])

    def facts_at(self, now: datetime) -> RunnerFacts:
        """The facts `display_state` needs; reads `host`, so select it."""
        silent_after = self.host.offline_after
        return RunnerFacts(
            state=RunnerState(self.state),
            phase=Phase(self.phase),
            github_status=GitHubStatus(self.github_status),
            github_busy=self.github_busy,
            host_silent=silent_after is not None and silent_after <= now,
            quarantined=self.quarantined_at is not None,
        )

    def display_at(self, now: datetime) -> DisplayState:
        """The word for this runner at `now`."""
        return display_state(self.facts_at(now))


class RunnerLog(models.Model):
    """The last output of a runner's process, bounded; `offset` counts every character ever
    taken."""

    runner = models.OneToOneField(
        Runner, on_delete=models.CASCADE, related_name="log", primary_key=True
    )
    text = models.TextField(blank=True, default="")
    offset = models.PositiveBigIntegerField(default=0)
    updated_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"log of {self.runner_id}"
