"""What a plan is made from and what it says: every input and output of `plan`, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from runners.scaling.policy import NO_SIZE, Policy, Size


@dataclass(frozen=True, slots=True)
class ScopeView:
    """A scope, and what is known of GitHub there.

    `server` is the host of its web address. `unknown_since`: GitHub does not answer since then;
    `back_at`: when it last did again, from where deadlines of starting runners count anew.
    `picture_at`: since when its whole queue has been looked at, None: not yet; `looked_at`: when
    some of it last was.
    """

    id: int
    kind: str
    slug: str
    server: str = "github.com"
    unknown_since: datetime | None = None
    back_at: datetime | None = None
    picture_at: datetime | None = None
    looked_at: datetime | None = None

    @property
    def owner(self) -> str:
        """The organization, user or enterprise that it belongs to, in lower case."""
        return self.slug.partition("/")[0].lower()


@dataclass(frozen=True, slots=True)
class Demand:
    """Jobs that wait alike: same scope, repository and labels (lower case).

    `job_ids` and `queued_at` go together, oldest first.
    """

    scope: ScopeView
    repository: str
    labels: frozenset[str]
    job_ids: tuple[int, ...]
    queued_at: tuple[datetime, ...]

    @property
    def count(self) -> int:
        """How many jobs wait."""
        return len(self.job_ids)

    @property
    def oldest_at(self) -> datetime:
        """Since when the oldest waits."""
        return self.queued_at[0]


class Worth(StrEnum):
    """What a runner is worth to waiting jobs."""

    IDLE = "idle"
    """Proven online at GitHub and free."""
    STARTING = "starting"
    """On its way; counts as coming until its pool's start deadline."""
    BUSY = "busy"
    DRAINING = "draining"
    """Finishes its job and goes, or is being removed from GitHub."""
    OFFLINE = "offline"
    """GitHub says it is not there, though its process lives: may come back."""
    UNKNOWN = "unknown"
    """Its host is silent or GitHub does not answer: may work, so nothing is done to it."""
    LEAVING = "leaving"
    """Ended or deregistered: takes no job and counts for nothing, but holds its slot a little."""


@dataclass(frozen=True, slots=True)
class RunnerView:
    """One runner and what it is worth.

    `since`: idle, starting or busy since. `online_at`: when it was first seen online. `untold_job`:
    it works, but GitHub has not yet said on which job; that job is still among the waiting ones.
    Labels, scope and repositories of a runner in a pool are its pool's.
    """

    id: int
    worth: Worth
    since: datetime
    online_at: datetime | None = None
    pool_id: int | None = None
    host_id: int = 0
    ephemeral: bool = True
    untold_job: bool = False
    scope: ScopeView | None = None
    labels: frozenset[str] = frozenset()


class Blocked(StrEnum):
    """Why a pool starts nothing at all for now, whoever asks."""

    PAUSED = "paused"
    QUARANTINED = "quarantined"
    BACKING_OFF = "backing-off"
    QUIESCED = "quiesced"
    GITHUB_UNKNOWN = "github-unknown"
    BUDGET_SPENT = "budget-spent"
    VERSION_REFUSED = "version-refused"


@dataclass(frozen=True, slots=True)
class Held:
    """A pool that starts nothing: the code, the words, and until when if that is known."""

    code: Blocked
    words: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class PoolView:
    """One pool: its policy, where it registers, and what keeps it from starting.

    `scaled_at`: when it last started runners for waiting jobs.
    """

    id: int
    name: str
    scope: ScopeView
    policy: Policy
    held: Held | None = None
    scaled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HostRoom:
    """One host: `free` of its `slots`, and what is `left` for sized runners, its reserve kept.

    `refusal` says why it takes no runners now; "" while it does. `proves` are the
    labels its hardware bears out. Labels and site in lower case.
    """

    id: int
    name: str
    slots: int
    free: int
    left: Size = NO_SIZE
    site: str = ""
    labels: frozenset[str] = frozenset()
    architecture: str = ""
    emulated: bool = False
    has_gpu: bool = False
    proves: frozenset[str] = frozenset()
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How many registrations may begin now, and how a fresh runner is judged.

    `left` of the fleet's budget, `burst` at most in one plan; None for no limit. `grace`: a runner
    younger than that is never idle for too long. `stale_after`: a picture of the queue older than
    that is unknown; None while no picture is kept.
    """

    left: int | None = None
    burst: int | None = None
    grace: timedelta = timedelta(seconds=90)
    stale_after: timedelta | None = None


class Code(StrEnum):
    """What becomes of waiting jobs, by a name that does not change."""

    NOT_OURS = "not-ours"
    """They ask for GitHub's own runners, and no pool carries such a label."""
    RUNNING = "running"
    """Runners work on them already; GitHub has not said so yet."""
    READY = "ready"
    """An idle runner is there for each; GitHub assigns within seconds."""
    STARTING = "starting"
    """Runners are on their way."""
    PLANNED = "planned"
    """This very plan starts runners for them."""
    NO_POOL = "no-pool"
    """No pool and no runner carries all their labels."""
    WRONG_SCOPE = "wrong-scope"
    """A pool carries their labels, but registers where their repository can't reach it."""
    REPOSITORY_REFUSED = "repository-refused"
    """A pool carries their labels, but does not let their repository in."""
    HELD = "held"
    """Every pool that matches starts nothing for now; `held` says why."""
    BELOW_TRIGGER = "below-trigger"
    """The pool waits for more jobs, or for these to have waited longer."""
    COOLDOWN = "cooldown"
    """The pool started runners a moment ago and waits before it starts more."""
    STEP = "step"
    """The pool starts no more than its step at a time."""
    AT_MAX = "at-max"
    """The pool has as many runners as it may."""
    CLOSED = "closed"
    """The pool may have no runners in these hours."""
    HOSTS_FULL = "hosts-full"
    """Hosts could serve, but have no room left."""
    NO_HOST = "no-host"
    """No host that can serve takes runners now."""
    PACED = "paced"
    """The fleet has started as many runners as it may within five minutes."""
    ALL_BUSY = "all-busy"
    """Only runners without a pool match, and none is free."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What a verdict rests on; what does not matter for its code is left empty.

    `missing`: labels that the nearest pool lacks. `hosts`: (name, why it can't serve), a few.
    `jobs`, `limit`: the number there is and the number that counts, such as jobs waiting of jobs
    needed, runners of the maximum. `until`: when it may change by itself. `since`: since when the
    first runner is on its way.
    """

    missing: tuple[str, ...] = ()
    hosts: tuple[tuple[str, str], ...] = ()
    jobs: int = 0
    limit: int = 0
    busy: int = 0
    held: Held | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one group of waiting jobs; its jobs oldest first are `running`, then `ready`,
    `starting`, `planned` and at last `left` in number.

    `code` is about those that fare worst. `pool_id`: the pool it is about, the nearest one for
    jobs that none serves; None when there is none.
    """

    demand: Demand
    code: Code
    pool_id: int | None = None
    running: int = 0
    ready: int = 0
    starting: int = 0
    planned: int = 0
    left: int = 0
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True, slots=True)
class Start:
    """Start `count` runners of a pool on a host."""

    pool_id: int
    host_id: int
    count: int


class StopCode(StrEnum):
    """Why a runner is let go. All of these drain: a job on it is finished first."""

    IDLE = "idle"
    OVER_MAX = "over-max"
    LIFETIME = "lifetime"
    MAKES_ROOM = "makes-room"


@dataclass(frozen=True, slots=True)
class Stop:
    """Drain one runner."""

    runner_id: int
    pool_id: int
    code: StopCode
    why: str


@dataclass(frozen=True, slots=True)
class PoolDecision:
    """What was decided for one pool, with the numbers it rests on and a sentence to check it by.

    `waiting`: jobs that only this pool's runners, there or coming, are for. `for_jobs` of `start`
    are for waiting jobs, the others keep it warm.
    """

    pool_id: int
    name: str
    min_idle: int
    max_runners: int
    idle: int = 0
    starting: int = 0
    busy: int = 0
    draining: int = 0
    unknown: int = 0
    waiting: int = 0
    start: int = 0
    for_jobs: int = 0
    stop: int = 0
    short: int = 0
    code: Code | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now and why: one decision a pool in the order given, one verdict a demand."""

    starts: tuple[Start, ...] = ()
    stops: tuple[Stop, ...] = ()
    decisions: tuple[PoolDecision, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    registrations_left: int | None = None
