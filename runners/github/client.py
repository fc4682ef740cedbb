"""The GitHub client: every operation we use, on one connection, for one thread.

Plain Python: it knows nothing of the application that uses it. Make one client a thread; `auth` and
`cache` may be shared by all of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Self

import requests

from .auth import Auth
from .cache import ConditionalCache
from .endpoints.account import AccountEndpoints
from .endpoints.apps import AppEndpoints
from .endpoints.groups import RunnerGroupEndpoints
from .endpoints.hooks import HookEndpoints
from .endpoints.releases import ReleaseEndpoints
from .endpoints.runners import RunnerEndpoints
from .endpoints.runs import RunEndpoints
from .http import PlainSession, Times
from .limits import Budget
from .transport import DEFAULT_MAX_WAIT_SECONDS, CallCounts, Transport
from .urls import GITHUB_API


def utc_now() -> datetime:
    """The clock of a client that was given none."""
    return datetime.now(UTC)


def ignore_budget(budget: Budget) -> None:
    """The budget listener of a client that was given none."""


def ignore_expiry(expires_at: datetime) -> None:
    """The listener for a token's end of a client that was given none."""


class GitHubClient(
    RunnerEndpoints,
    RunnerGroupEndpoints,
    RunEndpoints,
    AccountEndpoints,
    AppEndpoints,
    HookEndpoints,
    ReleaseEndpoints,
):
    """All operations of the groups above.

    `base_url` is an API base (`urls.api_base_url`); `auth` None means anonymous. A read waits and
    repeats for at most `max_wait_seconds` in all before its error is raised; `on_budget` hears
    every budget GitHub tells, `on_token_expiry` the end of the token in use, again when it changes.
    `session` is best an `http.PlainSession`. Raises ValueError for a
    base address that must not get a credential.
    """

    def __init__(
        self,
        base_url: str = GITHUB_API,
        auth: Auth | None = None,
        session: requests.Session | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
        max_wait_seconds: float = DEFAULT_MAX_WAIT_SECONDS,
        cache: ConditionalCache | None = None,
        on_budget: Callable[[Budget], None] = ignore_budget,
        on_token_expiry: Callable[[datetime], None] = ignore_expiry,
        times: Times | None = None,
    ) -> None:
        super().__init__(
            Transport(
                base_url=base_url,
                auth=auth,
                session=PlainSession() if session is None else session,
                clock=clock,
                sleep=sleep,
                max_wait_seconds=max_wait_seconds,
                cache=ConditionalCache() if cache is None else cache,
                on_budget=on_budget,
                on_token_expiry=on_token_expiry,
                times=Times() if times is None else times,
            )
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, {self.auth!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the connections go."""
        self._transport.session.close()

    @property
    def base_url(self) -> str:
        """The API base, without a trailing slash."""
        return self._transport.base_url

    @property
    def auth(self) -> Auth | None:
        """The credential in use."""
        return self._transport.auth

    @property
    def budgets(self) -> Mapping[str, Budget]:
        """What is left, by resource, as last heard."""
        return MappingProxyType(self._transport.budgets)

    @property
    def counts(self) -> CallCounts:
        """What this client has cost so far."""
        return self._transport.counts

    @property
    def clock_skew_seconds(self) -> float:
        """How far GitHub's clock is ahead of ours, as last heard."""
        return self._transport.clock_skew_seconds

    def now(self) -> datetime:
        """The moment by this client's clock."""
        return self._transport.clock()
