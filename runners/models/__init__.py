"""The tables, one aggregate a file; import them from here."""

from runners.models.cost import CostModel, HostCost, RepositoryPayer
from runners.models.delivery import Delivery
from runners.models.drift import Drift
from runners.models.event import Event
from runners.models.fleet import Fleet
from runners.models.history import JobDay
from runners.models.host import Host, HostQuerySet, Sample
from runners.models.job import Job
from runners.models.label import Label
from runners.models.loss import Postmortem
from runners.models.maintenance import Maintenance, MaintenanceHost
from runners.models.pool import Decision, Pool
from runners.models.pool_sample import PoolSample
from runners.models.process import Beat, Lease
from runners.models.queue_picture import QueuePicture
from runners.models.repository import Repository
from runners.models.runner import Runner, RunnerLog, RunnerQuerySet
from runners.models.scope import Credential, RunnerPackage, Scope
from runners.models.target import AnnouncedWindow, LabelTarget, Outage, PoolTarget
from runners.models.token import EnrolmentCode

__all__ = [
    "AnnouncedWindow",
    "Beat",
    "CostModel",
    "Credential",
    "Decision",
    "Delivery",
    "Drift",
    "EnrolmentCode",
    "Event",
    "Fleet",
    "Host",
    "HostCost",
    "HostQuerySet",
    "Job",
    "JobDay",
    "Label",
    "LabelTarget",
    "Lease",
    "Maintenance",
    "MaintenanceHost",
    "Outage",
    "Pool",
    "PoolSample",
    "PoolTarget",
    "Postmortem",
    "QueuePicture",
    "Repository",
    "RepositoryPayer",
    "Runner",
    "RunnerLog",
    "RunnerPackage",
    "RunnerQuerySet",
    "Sample",
    "Scope",
]
