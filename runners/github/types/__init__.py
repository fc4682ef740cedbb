"""GitHub's answers as frozen dataclasses; field names are GitHub's, times are UTC."""

from .account import AuthenticatedUser, Meta, Owner, RateLimits, Repository
from .apps import App, Installation, InstallationToken, ManifestApp
from .hooks import Delivery, DeliveryDetail, Webhook, WebhookConfig
from .listing import Listing
from .releases import Downloaded, Release, ReleaseAsset
from .runners import (
    JitConfig,
    Runner,
    RunnerApplication,
    RunnerGroup,
    RunnerLabel,
    RunnerToken,
    RunnerVersionDeprecation,
)
from .runs import DispatchedRun, Job, JobLog, JobStep, Workflow, WorkflowRun

__all__ = [
    "App",
    "AuthenticatedUser",
    "Delivery",
    "DeliveryDetail",
    "DispatchedRun",
    "Downloaded",
    "Installation",
    "InstallationToken",
    "JitConfig",
    "Job",
    "JobLog",
    "JobStep",
    "Listing",
    "ManifestApp",
    "Meta",
    "Owner",
    "RateLimits",
    "Release",
    "ReleaseAsset",
    "Repository",
    "Runner",
    "RunnerApplication",
    "RunnerGroup",
    "RunnerLabel",
    "RunnerToken",
    "RunnerVersionDeprecation",
    "Webhook",
    "WebhookConfig",
    "Workflow",
    "WorkflowRun",
]
