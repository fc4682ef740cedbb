"""The tables, one aggregate a file; import them from here."""

from runners.models.event import Event
from runners.models.host import Host, HostQuerySet, Sample
from runners.models.job import Delivery, Job
from runners.models.label import Label
from runners.models.pool import Pool
from runners.models.process import Beat, Lease
from runners.models.runner import Runner, RunnerLog, RunnerQuerySet
from runners.models.scope import Credential, RunnerPackage, Scope
from runners.models.token import EnrolmentCode

__all__ = [
    "Beat",
    "Credential",
    "Delivery",
    "EnrolmentCode",
    "Event",
    "Host",
    "HostQuerySet",
    "Job",
    "Label",
    "Lease",
    "Pool",
    "Runner",
    "RunnerLog",
    "RunnerPackage",
    "RunnerQuerySet",
    "Sample",
    "Scope",
]
