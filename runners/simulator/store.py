"""Everything the simulator remembers, with the indexes that keep it fast at 10,000 runners.

It holds records and finds them; rules live elsewhere. Callers hold the world's lock.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from itertools import islice

from runners.simulator.model import (
    DEFAULT_GROUP_ID,
    App,
    Credential,
    Delivery,
    Enterprise,
    Hook,
    Installation,
    Job,
    Manifest,
    Organization,
    Repository,
    Run,
    Runner,
    RunnerGroup,
    RunnerRelease,
    User,
    Workflow,
)

FIRST_ID = 1000


@dataclass
class Store:
    """All records by id or key. Keys made of names are in lower case."""

    last_id: int = FIRST_ID
    users: dict[str, User] = field(default_factory=dict)
    organizations: dict[str, Organization] = field(default_factory=dict)
    enterprises: dict[str, Enterprise] = field(default_factory=dict)
    repositories: dict[int, Repository] = field(default_factory=dict)
    renamed: dict[str, int] = field(default_factory=dict)
    groups: dict[str, dict[int, RunnerGroup]] = field(default_factory=dict)
    runners: dict[int, Runner] = field(default_factory=dict)
    workflows: dict[int, Workflow] = field(default_factory=dict)
    runs: dict[int, Run] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    credentials: dict[str, Credential] = field(default_factory=dict)
    apps: dict[int, App] = field(default_factory=dict)
    installations: dict[int, Installation] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    hooks: dict[int, Hook] = field(default_factory=dict)
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    releases: dict[str, RunnerRelease] = field(default_factory=dict)
    label_ids: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reindex()

    def reindex(self) -> None:
        """Build the derived indexes from the records, as after loading a file."""
        self._repository_ids = {r.full_name.lower(): r.id for r in self.repositories.values()}
        self._runner_ids: dict[str, dict[int, None]] = {}
        self._runner_names: dict[tuple[str, str], int] = {}
        self._runner_secrets: dict[str, int] = {}
        for runner in self.runners.values():
            self._index_runner(runner)
        self._run_ids: dict[int, dict[int, None]] = {}
        for run in self.runs.values():
            self._run_ids.setdefault(run.repository_id, {})[run.id] = None

    def new_id(self) -> int:
        """The next number; one sequence for all kinds of records."""
        self.last_id += 1
        return self.last_id

    def label_id(self, name: str) -> int:
        """The id of a label name, the same for every runner that carries it."""
        return self.label_ids.setdefault(name.lower(), len(self.label_ids) + 1)

    # accounts and repositories

    def repository(self, full_name: str) -> Repository | None:
        """By ``owner/name``, without regard to case; not by a former name."""
        found = self._repository_ids.get(full_name.lower())
        return None if found is None else self.repositories[found]

    def add_repository(self, repository: Repository) -> None:
        """Add one and make sure its runner group exists."""
        self.repositories[repository.id] = repository
        self._repository_ids[repository.full_name.lower()] = repository.id
        self.add_scope(repository.scope)

    def rename_repository(self, repository: Repository, name: str) -> None:
        """Rename; the old name redirects from now on, and its runners follow."""
        old_scope = repository.scope
        self.renamed[repository.full_name.lower()] = repository.id
        del self._repository_ids[repository.full_name.lower()]
        repository.name = name
        self._repository_ids[repository.full_name.lower()] = repository.id
        groups = self.groups.pop(old_scope)
        for group in groups.values():
            group.scope = repository.scope
        self.groups[repository.scope] = groups
        for runner in self.scope_runners(old_scope):
            runner.scope = repository.scope
        self.reindex()

    def repositories_of(self, owner: str) -> list[Repository]:
        """An account's repositories, oldest first."""
        wanted = owner.lower()
        return [r for r in self.repositories.values() if r.owner.lower() == wanted]

    def add_scope(self, scope: str) -> None:
        """Give a scope its default runner group."""
        default = RunnerGroup(DEFAULT_GROUP_ID, scope, "Default", default=True)
        self.groups.setdefault(scope, {}).setdefault(DEFAULT_GROUP_ID, default)

    # runners

    def add_runner(self, runner: Runner) -> None:
        """Add a runner whose name is free in its scope."""
        self.runners[runner.id] = runner
        self._index_runner(runner)

    def remove_runner(self, runner: Runner) -> None:
        """Forget a runner and its secret."""
        self.runners.pop(runner.id, None)
        self._runner_ids.get(runner.scope, {}).pop(runner.id, None)
        self._runner_names.pop((runner.scope, runner.name.lower()), None)
        self._runner_secrets.pop(runner.secret, None)

    def runner_named(self, scope: str, name: str) -> Runner | None:
        """The runner of that name in that scope; GitHub compares names without regard to case."""
        found = self._runner_names.get((scope, name.lower()))
        return None if found is None else self.runners[found]

    def runner_by_secret(self, secret: str) -> Runner | None:
        """The runner whose processes use this secret."""
        found = self._runner_secrets.get(secret)
        return None if found is None else self.runners[found]

    def runner_count(self, scope: str) -> int:
        """How many runners a scope holds."""
        return len(self._runner_ids.get(scope, {}))

    def runner_page(self, scope: str, start: int, count: int) -> list[Runner]:
        """A slice of a scope's runners, by id."""
        ids = self._runner_ids.get(scope, {})
        return [self.runners[i] for i in islice(ids, start, start + count)]

    def scope_runners(self, scope: str) -> list[Runner]:
        """All of a scope's runners, by id."""
        return [self.runners[i] for i in self._runner_ids.get(scope, {})]

    def new_runner_secret(self) -> str:
        """A secret nobody has."""
        return secrets.token_urlsafe(48)

    # runs

    def add_run(self, run: Run) -> None:
        """Add a run to its repository's list."""
        self.runs[run.id] = run
        self._run_ids.setdefault(run.repository_id, {})[run.id] = None

    def remove_run(self, run: Run) -> None:
        """Forget a run and its jobs."""
        del self.runs[run.id]
        del self._run_ids[run.repository_id][run.id]
        for job_id in {job_id for attempt in run.job_ids for job_id in attempt}:
            self.jobs.pop(job_id, None)

    def runs_of(self, repository_id: int) -> list[Run]:
        """A repository's runs, newest first, as GitHub lists them."""
        return [self.runs[i] for i in reversed(self._run_ids.get(repository_id, {}))]

    def _index_runner(self, runner: Runner) -> None:
        self._runner_ids.setdefault(runner.scope, {})[runner.id] = None
        self._runner_names[runner.scope, runner.name.lower()] = runner.id
        self._runner_secrets[runner.secret] = runner.id
