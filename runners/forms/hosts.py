"""What a person may ask of a host, and what a new one is to be."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from django import forms

from runners.enrolment import SLOTS_LIMIT
from runners.forms import widgets
from runners.forms.selection import IdsField, answered, chosen
from runners.models import Host

DEADLINES: Final = (
    ("", "Wait as long as it takes"),
    ("15", "Stop after 15 minutes"),
    ("60", "Stop after 1 hour"),
    ("360", "Stop after 6 hours"),
)


def reason_field(*, required: bool = False, placeholder: str = "") -> forms.CharField:
    """Why; kept in the event and shown on the host."""
    return forms.CharField(
        required=required,
        max_length=200,
        label="Reason",
        help_text="Shown on the host and in the audit log.",
        error_messages={"required": "Say why, in a few words."},
        widget=widgets.text_input(autocomplete="off", placeholder=placeholder),
    )


class CordonForm(forms.Form):
    """A cordon; one click suffices, a reason may come along."""

    reason = forms.CharField(required=False, max_length=200)


class DrainHostForm(forms.Form):
    """A drain of everything on a host."""

    deadline_minutes = forms.ChoiceField(
        choices=DEADLINES,
        required=False,
        initial="",
        label="If jobs are still running",
        help_text="A job that still runs at the deadline fails, and the audit log names it.",
        widget=widgets.radio(),
    )
    reason = reason_field(required=True, placeholder="Kernel update")

    @property
    def deadline(self) -> timedelta | None:
        """How long jobs may go on; None for as long as they take."""
        minutes = self.cleaned_data["deadline_minutes"]
        return timedelta(minutes=int(minutes)) if minutes else None


class BulkHostsForm(forms.Form):
    """The hosts ticked in the list and what to do with them."""

    action = forms.ChoiceField(
        choices=(
            ("cordon", "Cordon"),
            ("uncordon", "Uncordon"),
            ("drain", "Drain"),
            ("round", "Start a round of maintenance"),
        )
    )
    ids = IdsField()


class BulkDrainHostsForm(DrainHostForm):
    """A drain of the ticked hosts, asked for once more with what it means."""

    action = chosen("drain")
    confirmed = answered()
    ids = IdsField()


class SlotsForm(forms.Form):
    """How many runners a host may run at once."""

    slots = forms.IntegerField(
        min_value=1,
        max_value=SLOTS_LIMIT,
        label="Slots",
        help_text="Runners that may run at once. Runners above the number finish first.",
        widget=widgets.number_input(),
    )
    cpu_cores = forms.FloatField(
        required=False,
        min_value=0.1,
        max_value=4096,
        label="Cores for each",
        help_text="The most a job may use. Empty: all but the host's reserve.",
        widget=widgets.number_input(step="0.1"),
    )
    memory_gb = forms.FloatField(
        required=False,
        min_value=0.1,
        max_value=65536,
        label="Memory for each, GB",
        help_text="A step that outgrows it fails, not the host. Empty: all but the host's reserve.",
        widget=widgets.number_input(step="any"),
    )
    reason = reason_field()

    @property
    def memory_bytes(self) -> int | None:
        """The memory of each slot; None for no limit of its own."""
        size: float | None = self.cleaned_data["memory_gb"]
        return None if size is None else int(size * 10**9)


class RetireForm(forms.Form):
    """The end of a host here; its name is typed, because nothing undoes it."""

    name = forms.CharField(
        label="Type the host's name",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    reason = reason_field()

    def __init__(self, data: Any = None, *, host: Host) -> None:
        super().__init__(data)
        self.host = host
        self.fields["name"].help_text = f"{host.name}, exactly."

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name != self.host.name:
            raise forms.ValidationError(f"Type {self.host.name} to retire it.")
        return name


class NewHostForm(forms.Form):
    """What the next host will be; the rest its agent finds out."""

    name = forms.SlugField(
        required=False,
        max_length=40,
        label="Name",
        help_text="Letters, digits, - and _. Empty: the machine's own host name.",
        error_messages={"invalid": "A host name has letters, digits, - and _, such as forge-01."},
        widget=widgets.text_input(autocomplete="off", spellcheck="false", placeholder="forge-01"),
    )
    site = forms.CharField(
        required=False,
        max_length=60,
        label="Site",
        help_text="Where it stands; runners can be kept to a site.",
        widget=widgets.text_input(autocomplete="off", placeholder="eu-central", list="sites"),
    )
    slots = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=SLOTS_LIMIT,
        label="Slots",
        help_text="Runners at once. Empty: one for every two cores and 2 GB.",
        widget=widgets.number_input(),
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name == "new":
            raise forms.ValidationError("That name is this page's address. Choose another.")
        if Host.objects.in_service().filter(name=name).exists():
            raise forms.ValidationError(f"{name} is enrolled already. Choose another name.")
        return name
