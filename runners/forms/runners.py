"""What a person may ask of a runner."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import QueryDict

from runners.forms import widgets
from runners.forms.hosts import DrainHostForm
from runners.forms.selection import IdsField, answered, chosen

WHEN_DONE = "when-done"
NOW = "now"
HOW = ((WHEN_DONE, "When its job ends"), (NOW, "Now, and its job fails"))


def reason_field() -> forms.CharField:
    """Why; kept in the event and shown to everybody who looks at the runner."""
    return forms.CharField(
        required=False,
        max_length=200,
        label="Reason",
        help_text="Others see it beside the runner and in the audit records.",
        widget=widgets.text_input(autocomplete="off"),
    )


class DrainForm(DrainHostForm):
    """A drain: both fields may stay empty, so that one click suffices."""

    reason = reason_field()


class StopDrainForm(forms.Form):
    """The end of a drain before its time."""

    reason = reason_field()


class LeaveForm(forms.Form):
    """When runners go: after their jobs, or by force with a reason."""

    how = forms.ChoiceField(choices=HOW, initial=WHEN_DONE, label="When", widget=widgets.radio())
    reason = reason_field()

    @property
    def force(self) -> bool:
        """Whether jobs may fail."""
        return bool(self.cleaned_data["how"] == NOW)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("how") == NOW and not cleaned.get("reason", "").strip():
            self.add_error("reason", "Say why: a job that runs now will fail.")
        return cleaned


class DeregisterForm(LeaveForm):
    """A deregistration; to force a runner out that works, its name is typed."""

    name = forms.CharField(
        required=False,
        label="To end its job now, type the runner's name",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    field_order = ("how", "name", "reason")

    def __init__(self, data: QueryDict | None = None, *, name: str, busy: bool) -> None:
        super().__init__(data)
        self.runner_name, self.busy = name, busy
        if busy:
            self.fields["name"].help_text = f"{name}, exactly. The job fails; nothing undoes it."
        else:
            del self.fields["name"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.busy and cleaned.get("how") == NOW and cleaned.get("name") != self.runner_name:
            self.add_error("name", f"Type {self.runner_name} to end its job now.")
        return cleaned


class LabelsForm(forms.Form):
    """The labels of a persistent runner, separated by commas."""

    labels = forms.CharField(
        max_length=4000,
        label="Labels",
        help_text="Separate them with commas. Jobs match by every label of their runs-on.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    reason = reason_field()

    @property
    def names(self) -> list[str]:
        """The labels one by one."""
        return [name.strip() for name in self.cleaned_data["labels"].split(",")]


class BulkForm(forms.Form):
    """The runners ticked in the list and what to do with them."""

    action = forms.ChoiceField(choices=(("drain", "Drain"), ("deregister", "Deregister")))
    ids = IdsField()


class BulkDrainForm(DrainHostForm):
    """A drain of the ticked runners, asked for once more with what it means."""

    action = chosen("drain")
    confirmed = answered()
    ids = IdsField()
    reason = reason_field()


class BulkDeregisterForm(LeaveForm):
    """A deregistration of many; by force, the number of busy ones is typed when it is above one."""

    how = forms.ChoiceField(
        choices=((WHEN_DONE, "When their jobs end"), (NOW, "Now, and their jobs fail")),
        initial=WHEN_DONE,
        label="When",
        widget=widgets.radio(),
    )
    action = chosen("deregister")
    confirmed = answered()
    ids = IdsField()
    busy_count = forms.IntegerField(
        required=False, label="Jobs that fail", widget=widgets.number_input(autocomplete="off")
    )

    def __init__(self, data: QueryDict | None = None, *, ids: list[int], busy: int) -> None:
        super().__init__(data, initial={"ids": ids})
        self.busy = busy
        if busy > 1:
            hint = f"To end them now, type how many of them run a job: {busy}"
            self.fields["busy_count"].help_text = hint
        else:
            del self.fields["busy_count"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if self.busy > 1 and cleaned.get("how") == NOW and cleaned.get("busy_count") != self.busy:
            self.add_error("busy_count", f"Type {self.busy} to end them now.")
        return cleaned
