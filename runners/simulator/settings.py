"""Every time span and limit the simulator obeys, with GitHub's own figures as defaults.

From GitHub's documentation unless said otherwise. Tests and the demo shorten them.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Timings:
    """Lengths in seconds. Mutable on purpose: the control API changes them while running."""

    registration_token_seconds: float = 3600
    remove_token_seconds: float = 3600
    installation_token_seconds: float = 3600
    manifest_code_seconds: float = 3600
    log_url_seconds: float = 60
    online_seconds: float = 60
    pick_up_seconds: float = 60
    queue_limit_seconds: float = 24 * 3600
    # A job whose runner fell silent ends only with its lease: 10 to 15 minutes in field reports.
    lease_seconds: float = 600
    # Deleting a runner is still refused some seconds after its job ended.
    busy_linger_seconds: float = 3
    offline_removal_seconds: float = 14 * 86400
    ephemeral_removal_seconds: float = 86400
    # Field reports: idle JIT runners removed after 2 to 6 minutes of listening. 0 switches it off.
    jit_idle_removal_seconds: float = 0
    # A runner with updates disabled gets no jobs this long after a newer release.
    update_grace_seconds: float = 30 * 86400
    delivery_timeout_seconds: float = 10
    delivery_kept_seconds: float = 3 * 86400


@dataclass
class Limits:
    """GitHub's request limits; 0 switches one off."""

    user_per_hour: int = 5000
    installation_per_hour: int = 5000
    anonymous_per_hour: int = 60
    concurrent_requests: int = 100
    points_per_minute_per_endpoint: int = 900
    content_per_minute: int = 80
    content_per_hour: int = 500
    registrations_per_five_minutes: int = 1500
    runners_per_group: int = 10_000
    hooks_per_event: int = 20


NO_LIMITS = Limits(0, 0, 0, 0, 0, 0, 0)


@dataclass
class Settings:
    """What one simulator is: figures, the runner version it offers, and which GitHub it plays."""

    timings: Timings = field(default_factory=Timings)
    limits: Limits = field(default_factory=Limits)
    runner_version: str = "2.336.0"
    minimum_runner_version: str = "2.329.0"
    # Empty plays github.com; a version such as "3.17.0" plays GitHub Enterprise Server.
    ghes_version: str = ""
    # Webhooks go to this machine only, so that a made-up address is never called for real.
    webhooks_anywhere: bool = False
    # Older finished runs and deliveries are forgotten, so that a long demonstration stays small.
    runs_kept: int = 5000
    deliveries_kept: int = 5000
