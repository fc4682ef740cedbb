"""Jobs asked for at GitHub: the picture of the queue where no webhook tells it.

A look asks the repositories in which something goes on first, then the others in turn, longest
unseen first, and follows every run we hold for open, but those of which the list itself says that
nothing moved. It stops where its allowance ends or GitHub refuses; what came so far counts, and the
next look goes on from there: when each repository was last looked at is kept in its row. What
GitHub would not tell stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet

from runners import deliveries, jobs
from runners.github.errors import (
    Forbidden,
    GitHubUnavailable,
    NotFound,
    PartialResult,
    RateLimited,
    Unauthorized,
)
from runners.github.types import Job as GitHubJob
from runners.github.types import Listing, WorkflowRun
from runners.github.types import Repository as GitHubRepository
from runners.github.urls import ScopeKind, ScopePath
from runners.job_sources import JobSource
from runners.jobs import JobFacts
from runners.models import Credential, Delivery, Job, Repository, Scope
from runners.registry import path_of

T = TypeVar("T")

OPEN_STATUSES = ("queued", "in_progress")
NEWEST_RUNS = 100
PER_PAGE = 100
NEWEST_PUSHED = 100
LISTED_EVERY = timedelta(minutes=10)
CONFIRMED_EVERY = timedelta(minutes=10)
"""A repository's every open run is asked for so often; in between, its newest hundred."""
HOT_FOR = timedelta(minutes=10)
RUNS_AT_ONCE = 30
"""Of one repository's new runs; the others wait until every repository had its turn."""
HOT_IN_A_ROW = 3
"""After so many hot repositories comes another one, so that none starves."""
WEBHOOK_ALIVE_FOR = timedelta(hours=1)
NET_FACTOR = 6
"""So many times slower is the look while webhooks tell of jobs sooner."""
FOLLOW_EVERY = timedelta(minutes=5)
"""With webhooks alone, only the runs we hold for open are asked for, and so often."""
STANDS_FOR = timedelta(hours=1)
"""A run that has not moved since we saw its jobs is asked for again so often, to be sure."""
LOOK_FOR_AT_MOST = timedelta(seconds=45)
CLOCK_MARGIN = timedelta(minutes=2)
"""How far our clock and GitHub's may differ; a run looked at twice changes nothing."""

RESERVE_SHARE = 0.2
"""Of the hourly budget this much is left to registering and removing runners."""
BURST_SHARE = 0.1
"""Of what may be spent, one look takes no more than this, or its even share where that is more."""
LISTS_A_SECOND = 12
"""GitHub allows 900 reads of one kind a minute; 720 are ours. Confirmed answers count there too."""
LEAST_LISTS, MOST_LISTS = 60, 400
ENDS_A_LOOK = (RateLimited, GitHubUnavailable, Unauthorized)


class RunsSource(Protocol):
    """The part of the GitHub client this needs."""

    def now(self) -> datetime:
        """The moment, so that a slow GitHub does not hold a look for ever."""

    def get_repository(self, repository: ScopePath) -> GitHubRepository:
        """A repository."""

    def list_repositories_for_org(
        self, organization: ScopePath, *, sort: str | None = None, max_items: int | None = None
    ) -> Listing[GitHubRepository]:
        """Repositories of an organization."""

    def list_workflow_runs_for_repo(
        self, repository: ScopePath, *, status: str | None = None, max_items: int | None = None
    ) -> Listing[WorkflowRun]:
        """Runs with this status, newest first."""

    def list_jobs_for_workflow_run(self, repository: ScopePath, run_id: int) -> Listing[GitHubJob]:
        """Jobs of a run's latest attempt."""


@dataclass
class Allowance:
    """What one look may ask. `calls` are those that cost of the hourly budget, None: not limited.

    A confirmed answer (304) costs nothing there, but counts among the lists.
    """

    calls: int | None
    run_lists: int
    job_lists: int

    @property
    def spent(self) -> bool:
        """Whether no further call may be made."""
        return self.calls is not None and self.calls <= 0

    def pay(self, listing: Listing[T]) -> Listing[T]:
        """Take off what a list cost."""
        if self.calls is not None and not listing.not_modified:
            self.calls -= max(1, -(-len(listing) // PER_PAGE))
        return listing


@dataclass
class Look:
    """What one look brought. `problem` says why it did not get to its end, "" when it did."""

    changed: int = 0
    repositories: int = 0
    runs: int = 0
    problem: str = ""
    unreadable: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        said = f"{self.changed} jobs changed, {self.repositories} repositories, {self.runs} runs"
        return f"{said}. {self.problem}" if self.problem else said


def is_due(scope: Scope, *, source: JobSource, every: timedelta, now: datetime) -> bool:
    """Whether it is time for a look; one query where a webhook may make it rarer."""
    last = scope.jobs_polled_at
    if last is None or now - last >= FOLLOW_EVERY:
        return True
    if not source.asks_for_runs or now - last < every:
        return False
    if source is JobSource.POLLING or now - last >= NET_FACTOR * every:
        return True
    return not webhook_alive(scope, now=now)


def webhook_alive(scope: Scope, *, now: datetime) -> bool:
    """Whether a webhook tells of jobs: something came within the hour, and it was not deleted."""
    if not scope.webhook_secret_encrypted or scope.webhook_deleted_at or scope.webhook_problem:
        return False
    recent = Delivery.objects.filter(
        scope=scope, received_at__gte=now - WEBHOOK_ALIVE_FOR, replayed=False
    )
    return recent.exists()


def _misses_nothing(scope: Scope, *, now: datetime) -> bool:
    """Whether webhooks tell of jobs, and what they lose is found in GitHub's list of deliveries."""
    found = scope.deliveries_checked_at is not None and not scope.deliveries_problem
    return found and webhook_alive(scope, now=now)


def allowance(credential: Credential, *, every: timedelta, now: datetime) -> Allowance:
    """What a look may ask, of the budget as the last answer told it."""
    lists = int(min(MOST_LISTS, max(LEAST_LISTS, LISTS_A_SECOND * every.total_seconds())))
    return Allowance(_calls(credential, every, now), lists, lists)


def is_short_of_budget(credential: Credential, *, now: datetime) -> bool:
    """Whether what is left of the budget belongs to the runners."""
    calls = _calls(credential, timedelta(seconds=1), now)
    return calls is not None and calls <= 0


def _calls(credential: Credential, every: timedelta, now: datetime) -> int | None:
    limit, left, reset = (
        credential.budget_limit,
        credential.budget_remaining,
        credential.budget_reset_at,
    )
    if not limit or left is None or reset is None:
        return None
    if reset <= now:
        left, reset = limit, now + timedelta(hours=1)
    spendable = max(0.0, left - RESERVE_SHARE * limit)
    even = spendable * every / max(every, reset - now)
    return int(max(even, BURST_SHARE * spendable))


def poll(
    scope: Scope,
    *,
    github: RunsSource,
    now: datetime,
    source: JobSource = JobSource.POLLING,
    may: Allowance | None = None,
) -> Look:
    """Bring the scope's jobs up to date, as far as GitHub and the allowance let us."""
    may = may or Allowance(None, LEAST_LISTS * 2, LEAST_LISTS * 2)
    look = Look()
    poller = _Poller(scope, github, now, may, look, until=github.now() + LOOK_FOR_AT_MOST)
    poller.told_soon = source is JobSource.BOTH and _misses_nothing(scope, now=now)
    try:
        if may.spent:
            raise _Spent
        if source.asks_for_runs:
            poller.list_repositories()
            poller.look_at_repositories()
        poller.follow_open_runs()
    except _Spent:
        look.problem = "The API budget for now is spent: the rest is looked at next."
    except ENDS_A_LOOK as error:
        look.problem = error.user_message
    if look.unreadable and not look.problem:
        names = sorted(set(look.unreadable))
        look.problem = f"GitHub does not show the runs of {len(names)} repositories: {names[0]}…"
    swept = _swept_at(scope, look, now)
    Scope.objects.filter(pk=scope.pk).update(
        jobs_polled_at=now, jobs_swept_at=swept, jobs_problem=look.problem
    )
    return look


def _swept_at(scope: Scope, look: Look, now: datetime) -> datetime | None:
    """Since when every repository was looked at; None while one never was.

    An organization without any has nothing to look at, once its list was read.
    """
    rows = Repository.objects.filter(scope=scope)
    if rows.filter(looked_at__isnull=True).exists():
        return None
    oldest: datetime | None = rows.aggregate(at=Min("looked_at"))["at"]
    if oldest is None and scope.kind != Scope.Kind.ENTERPRISE and not look.problem:
        return now
    return oldest


class _Spent(Exception):
    """The allowance of this look has come to its end."""


@dataclass
class _Poller:
    """One look under way. `told_soon`: news of a job comes, or is fetched, without being asked."""

    scope: Scope
    github: RunsSource
    now: datetime
    may: Allowance
    look: Look
    until: datetime
    asked: set[tuple[str, int]] = field(default_factory=set)
    later: list[tuple[ScopePath, int]] = field(default_factory=list)
    told_soon: bool = False

    # --- which repositories there are ------------------------------------------------------------

    def list_repositories(self) -> None:
        """Know the scope's repositories, and those that were pushed to since the last look."""
        path = path_of(self.scope)
        if path.kind is ScopeKind.REPOSITORY:
            self._keep([(path.slug, None)])
            return
        if path.kind is not ScopeKind.ORGANIZATION:
            return  # GitHub has no list of an enterprise's repositories: webhooks tell them
        listed_at = self.scope.repositories_listed_at
        if listed_at is None or self.now - listed_at >= LISTED_EVERY:
            self._list_all(path)
        else:
            pushed = self._listed(
                lambda: self.github.list_repositories_for_org(
                    path, sort="pushed", max_items=NEWEST_PUSHED
                )
            )
            if not (isinstance(pushed, Listing) and pushed.not_modified):
                self._keep(
                    [(each.full_name, each.pushed_at) for each in pushed if not each.archived]
                )

    def _list_all(self, path: ScopePath) -> None:
        listed = self._listed(lambda: self.github.list_repositories_for_org(path))
        kept = [(each.full_name, each.pushed_at) for each in listed if not each.archived]
        self._keep(kept)
        if not (isinstance(listed, Listing) and listed.complete):
            return
        open_jobs = Job.objects.filter(scope=self.scope, repository=OuterRef("full_name")).exclude(
            status=Job.Status.COMPLETED
        )
        names = {name for name, _ in kept}
        gone = [
            row.pk
            for row in Repository.objects.filter(~Exists(open_jobs), scope=self.scope)
            if row.full_name not in names
        ]
        Repository.objects.filter(pk__in=gone).delete()
        Scope.objects.filter(pk=self.scope.pk).update(repositories_listed_at=self.now)

    def _listed(self, ask: Callable[[], Listing[GitHubRepository]]) -> Sequence[GitHubRepository]:
        """The repositories that came; one that may not be listed leaves those we know."""
        try:
            return self.may.pay(ask())
        except PartialResult as part:
            return [each for each in part.items if isinstance(each, GitHubRepository)]
        except (Forbidden, NotFound) as error:
            self.look.problem = error.user_message
            return []

    def _keep(self, found: Sequence[tuple[str, datetime | None]]) -> None:
        known = {row.full_name: row for row in Repository.objects.filter(scope=self.scope)}
        Repository.objects.bulk_create(
            [
                Repository(scope=self.scope, full_name=name, pushed_at=pushed_at)
                for name, pushed_at in found
                if name not in known
            ],
            ignore_conflicts=True,
        )
        pushed = []
        for name, pushed_at in found:
            row = known.get(name)
            if row is not None and pushed_at is not None and row.pushed_at != pushed_at:
                row.pushed_at, row.active_at = pushed_at, self.now
                pushed.append(row)
        Repository.objects.bulk_update(pushed, ["pushed_at", "active_at"], batch_size=200)

    # --- runs ------------------------------------------------------------------------------------

    def look_at_repositories(self) -> None:
        """Hot ones first, and now and then another, each longest unseen first."""
        for row in self._in_turn():
            if self.may.run_lists <= 0:
                return
            self._check()
            self._look_at(row)

    def _in_turn(self) -> list[Repository]:
        open_jobs = Job.objects.filter(scope=self.scope, repository=OuterRef("full_name")).exclude(
            status=Job.Status.COMPLETED
        )
        rows: QuerySet[Repository] = Repository.objects.filter(scope=self.scope)
        hot = Q(has_open=True) | Q(active_at__gte=self.now - HOT_FOR)
        unseen = F("looked_at").asc(nulls_first=True)
        rows = rows.annotate(has_open=Exists(open_jobs))
        first = list(rows.filter(hot).order_by(unseen, "pk"))
        others = list(rows.exclude(hot).order_by(unseen, "pk"))
        turns: list[Repository] = []
        while first or others:
            turns += first[:HOT_IN_A_ROW] + others[:1]
            del first[:HOT_IN_A_ROW], others[:1]
        return turns

    def _look_at(self, row: Repository) -> None:
        path = ScopePath.repository(row.full_name)
        since = (row.looked_at or self.scope.jobs_polled_at or self.scope.created_at) - CLOCK_MARGIN
        try:
            newest = self._runs(path, status=None, max_items=NEWEST_RUNS)
            runs = [run for run in newest if run.status != "completed" or run.updated_at >= since]
            seen_all = newest.complete
            if not seen_all and self._wants_all(row):
                unfinished = [self._runs(path, status=status) for status in OPEN_STATUSES]
                runs += [run for listed in unfinished for run in listed]
                seen_all = all(listed.complete for listed in unfinished)
        except (Forbidden, NotFound):
            # Actions are switched off there, or the credential may not see it: the next one
            self.look.unreadable.append(row.full_name)
            Repository.objects.filter(pk=row.pk).update(looked_at=self.now)
            return
        if any(run.status != "completed" for run in runs):
            deliveries.note_active(self.scope, {row.full_name}, now=self.now)
        Repository.objects.filter(pk=row.pk).update(
            looked_at=self.now, **({"confirmed_at": self.now} if seen_all else {})
        )
        self.look.repositories += 1
        untold = [(path, run_id) for run_id in self._untold(path, runs)]
        self._poll_runs(untold[:RUNS_AT_ONCE])
        self.later += untold[RUNS_AT_ONCE:]

    def _wants_all(self, row: Repository) -> bool:
        """Runs older than the newest hundred matter: a hot repository's, or anyone's at times."""
        hot = row.active_at is not None and row.active_at >= self.now - HOT_FOR
        at = row.confirmed_at
        return hot or at is None or self.now - at >= CONFIRMED_EVERY

    def _runs(
        self, path: ScopePath, *, status: str | None, max_items: int | None = None
    ) -> Listing[WorkflowRun]:
        self.may.run_lists -= 1
        try:
            return self.may.pay(
                self.github.list_workflow_runs_for_repo(path, status=status, max_items=max_items)
            )
        except PartialResult as part:
            items = tuple(each for each in part.items if isinstance(each, WorkflowRun))
            return self.may.pay(Listing(items, complete=False))

    def _untold(self, path: ScopePath, runs: Sequence[WorkflowRun]) -> list[int]:
        """The runs that hold news, oldest first: those with an open job of ours are followed later,
        those that ended and whose jobs we hold need no second look."""
        attempts = {run.id: run for run in runs}
        if not attempts:
            return []
        told: set[int] = set()
        moved: set[int] = set()
        ours = Job.objects.filter(scope=self.scope, repository=path.slug, run_id__in=attempts)
        columns = ("run_id", "run_attempt", "status", "seen_at")
        for run_id, attempt, status, seen_at in ours.values_list(*columns):
            run = attempts[run_id]
            ended = run.status == "completed" and attempt >= run.run_attempt
            if ended or status != Job.Status.COMPLETED:
                told.add(run_id)
            if not self._stands(run, attempt, status, seen_at):
                moved.add(run_id)
        self.asked |= {(path.slug, run_id) for run_id in told - moved}
        return sorted(attempts.keys() - told)

    def _stands(self, run: WorkflowRun, attempt: int, status: str, seen_at: datetime) -> bool:
        """Whether the list is enough to know that the job waits still: a run that is queued has no
        job at work, and changes when one of them begins."""
        if run.status != "queued" or status != Job.Status.QUEUED or attempt < run.run_attempt:
            return False
        if run.updated_at < seen_at - CLOCK_MARGIN:
            return self.now - seen_at < STANDS_FOR
        return self.told_soon and self.now - seen_at < FOLLOW_EVERY

    def follow_open_runs(self) -> None:
        """Ask for the rest of what is new, then for every run we hold for open, longest unseen
        first."""
        self._poll_runs(self.later)
        rows = Job.objects.filter(scope=self.scope).exclude(status=Job.Status.COMPLETED)
        runs = (
            rows.order_by()
            .values("repository", "run_id")
            .annotate(at=Min("seen_at"))
            .order_by("at")
        )
        self._poll_runs((ScopePath.repository(row["repository"]), row["run_id"]) for row in runs)

    def _poll_runs(self, runs: Iterable[tuple[ScopePath, int]]) -> None:
        for path, run_id in runs:
            if (path.slug, run_id) in self.asked:
                continue
            if self.may.job_lists <= 0:
                return
            self._check()
            self.asked.add((path.slug, run_id))
            self._poll_run(path, run_id)

    def _poll_run(self, path: ScopePath, run_id: int) -> None:
        self.may.job_lists -= 1
        ours = Job.objects.filter(scope=self.scope, repository=path.slug, run_id=run_id)
        still_open = ours.exclude(status=Job.Status.COMPLETED)
        found: Sequence[GitHubJob]
        try:
            found = self.may.pay(self.github.list_jobs_for_workflow_run(path, run_id))
        except PartialResult as part:
            found = [each for each in part.items if isinstance(each, GitHubJob)]
        except Forbidden:
            # Says nothing about the run: webhooks may go on telling of its jobs
            self.look.unreadable.append(path.slug)
            still_open.update(seen_at=self.now)
            return
        except NotFound:
            if self._is_there(path):
                # The run was deleted: what was open of it can't finish any more
                self.look.changed += still_open.update(
                    status=Job.Status.COMPLETED, conclusion="cancelled", completed_at=self.now
                )
            else:
                still_open.update(seen_at=self.now)
            return
        told = [facts_of(job, path.slug) for job in found]
        self.look.runs += 1
        self.look.changed += sum(jobs.record_many(self.scope, told, now=self.now))
        still_open.update(seen_at=self.now)

    def _is_there(self, path: ScopePath) -> bool:
        """Whether GitHub shows us the repository: one it hides says nothing about its runs."""
        try:
            self.github.get_repository(path)
        except (Forbidden, NotFound):
            self.look.unreadable.append(path.slug)
            return False
        return True

    def _check(self) -> None:
        if self.may.spent or self.github.now() > self.until:
            raise _Spent


def facts_of(job: GitHubJob, repository: str) -> JobFacts:
    """The client's job as the domain takes it."""
    return JobFacts(
        github_id=job.id,
        run_id=job.run_id,
        run_attempt=job.run_attempt,
        repository=repository,
        workflow_name=job.workflow_name,
        name=job.name,
        labels=job.labels,
        html_url=job.html_url,
        head_branch=job.head_branch,
        status=job.status,
        conclusion=job.conclusion,
        runner_name=job.runner_name,
        created_at=job.created_at,
        started_at=job.started_at,
        completed_at=job.completed_at,
        setup_seconds=jobs.setup_seconds(
            job.started_at, job.steps[0].completed_at if job.steps else None
        ),
    )
