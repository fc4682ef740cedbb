"""Events in words: what was done, to what, and how it shows. Knows every action the fleet records;
one it does not know is spelled out from its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from runners.manual import PEOPLE
from runners.models import Event

# Action → (state whose glyph it shows, what was done). The object's name follows.
WORDS: Final[dict[str, tuple[str, str]]] = {
    "runner.provision": ("info", "Provisioned runner"),
    "runner.register": ("starting", "Registered runner"),
    "runner.active": ("success", "Runner went online"),
    "runner.draining": ("draining", "Draining runner"),
    "runner.drain-update": ("draining", "Changed drain of runner"),
    "runner.removing": ("removing", "Removing runner"),
    "runner.removed": ("removed", "Removed runner"),
    "runner.failed": ("failed", "Runner failed"),
    "runner.force": ("failed", "Forced out runner"),
    "runner.labels": ("info", "Changed labels of runner"),
    "runner.deregister": ("removed", "Deregistered runner"),
    "runner.quarantine": ("quarantined", "Quarantined runner"),
    "runner.release": ("success", "Released runner"),
    "job.lost": ("failed", "Lost job"),
    "job.unroutable": ("failed", "No pool can run job"),
    "job.found": ("success", "Took back the loss of job"),
    "host.quarantine": ("quarantined", "Quarantined host"),
    "host.release": ("success", "Released host"),
    "pool.quarantine": ("quarantined", "Quarantined pool"),
    "pool.release": ("success", "Released pool"),
    "host.enrol": ("enrolling", "Enrolled host"),
    "host.online": ("success", "Host came online"),
    "host.offline": ("offline", "Host fell silent"),
    "host.cordon": ("cordoned", "Cordoned host"),
    "host.uncordon": ("success", "Uncordoned host"),
    "host.slots": ("info", "Changed slots of host"),
    "host.gpu-lost": ("failed", "Lost a GPU of host"),
    "host.place": ("info", "Changed site and labels of host"),
    "host.rotate-token": ("info", "Asked for a new token of host"),
    "host.retire": ("retired", "Retired host"),
    "enrolment.issue": ("info", "Made enrolment code"),
    "enrolment.revoke": ("cancelled", "Revoked enrolment code"),
    "credential.create": ("info", "Added credential"),
    "credential.replace": ("info", "Replaced secret of credential"),
    "credential.replace-by": ("info", "Set the day to replace the key of credential"),
    "credential.move": ("info", "Followed the new API address of credential"),
    "credential.remove": ("removed", "Removed credential"),
    "credential.verdict": ("info", "Checked credential"),
    "credential.rotate-encryption": ("info", "Encrypted anew credential"),
    "scope.add": ("info", "Added scope"),
    "scope.group": ("info", "Changed runner group of scope"),
    "scope.move": ("info", "Followed the new address of scope"),
    "scope.webhook-set": ("info", "Set the webhook secret of scope"),
    "scope.webhook-rotate": ("info", "Replaced the webhook secret of scope"),
    "scope.webhook-forget": ("info", "Stopped taking the former webhook secret of scope"),
    "delivery.redeliver": ("info", "Had GitHub send again delivery"),
    "scope.job-source": ("info", "Changed how jobs are learned for scope"),
    "scope.webhook-remove": ("removed", "Removed the webhook secret of scope"),
    "scope.remove": ("removed", "Removed scope"),
    "scope.rotate-encryption": ("info", "Encrypted anew webhook secret of scope"),
    "pool.create": ("info", "Created pool"),
    "pool.change": ("info", "Changed pool"),
    "pool.remove": ("removed", "Removed pool"),
    "pool.pause": ("cordoned", "Paused pool"),
    "pool.resume": ("success", "Resumed pool"),
    "cost.rates": ("info", "Changed prices"),
    "cost.host": ("info", "Set what is paid for host"),
    "repository.payer": ("info", "Set who pays for repository"),
    "pool.target": ("info", "Changed what is promised of pool"),
    "label.target": ("info", "Set the queue target"),
    "window.announce": ("info", "Announced maintenance"),
    "window.call-off": ("cancelled", "Called off maintenance"),
    "user.create": ("info", "Added member"),
    "user.change": ("info", "Changed member"),
    "user.password": ("info", "Set the password of member"),
    "user.role": ("info", "Changed role of member"),
    "user.deactivate": ("removed", "Switched off member"),
    "user.activate": ("success", "Switched on member"),
    "user.link": ("info", "Made a password link for member"),
    "maintenance.start": ("info", "Started maintenance"),
    "maintenance.step": ("info", "Maintenance moved host"),
    "maintenance.pause": ("cordoned", "Paused maintenance"),
    "maintenance.resume": ("success", "Resumed maintenance"),
    "maintenance.stop": ("cancelled", "Stopped maintenance"),
    "maintenance.done": ("success", "Finished maintenance"),
    "drift.fix": ("info", "Asked to mend drift of"),
    "drift.fixed": ("success", "Mended drift of"),
    "drift.adopt": ("warning", "Adopted for clean-up"),
    "fleet.auto-fix": ("info", "Changed what is mended without asking in"),
    "fleet.quiesce": ("cordoned", "Quiesced fleet"),
    "fleet.resume": ("success", "Resumed fleet"),
    "fleet.reserve": ("info", "Changed what hosts keep for themselves in"),
    "fleet.backup": ("info", "Made a backup of"),
    "fleet.restore": ("warning", "Restored a backup of"),
    "worker.restart": ("warning", "Restarted the queue's worker"),
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One event of a timeline."""

    state: str
    title: str
    text: str
    at: datetime


def words_of(action: str) -> tuple[str, str]:
    """Return the glyph's state and the words for an action."""
    spelled = action.replace(".", " ").replace("-", " ").capitalize()
    return WORDS.get(action, ("info", spelled))


def happening(event: Event) -> Happening:
    """Return the event as a line of a timeline that shows more than one object."""
    state, words = words_of(event.action)
    return Happening(
        state=state,
        title=f"{words} {event.object_name}",
        text=" · ".join(part for part in (event.actor_name, event.reason) if part),
        at=event.at,
    )


def is_person(event: Event) -> bool:
    """Whether somebody did it, rather than a program by itself."""
    return event.actor_kind in PEOPLE
