"""What a person may ask of the fleet as a whole: quiesce, and rounds of maintenance."""

from __future__ import annotations

from typing import Any

from django import forms

from runners.forms import widgets
from runners.forms.hosts import DEADLINES, reason_field
from runners.maintenance import MINUTES_LIMIT, Plan
from runners.models import Host, Maintenance


class QuiesceForm(forms.Form):
    """Why no new runner starts; everybody sees it on every page."""

    reason = reason_field(required=True, placeholder="Moving the database")


class RoundForm(forms.Form):
    """A round of maintenance over the ticked hosts, in the order of their names."""

    hosts = forms.ModelMultipleChoiceField(
        queryset=Host.objects.none(),
        error_messages={"required": "Tick at least one host."},
        widget=forms.CheckboxSelectMultiple(attrs={"class": "check"}),
    )
    reason = reason_field(required=True, placeholder="Kernel update")
    act = forms.ChoiceField(
        choices=Maintenance.Act.choices,
        initial=Maintenance.Act.CONFIRM,
        label="A host stays out",
        widget=widgets.radio(),
    )
    minutes = forms.IntegerField(
        min_value=1,
        max_value=MINUTES_LIMIT,
        initial=30,
        label="Minutes",
        help_text="Only where a host stays out for some minutes.",
        widget=widgets.number_input(),
    )
    percent_out = forms.IntegerField(
        min_value=1,
        max_value=100,
        initial=25,
        label="Out at once, percent",
        help_text="Of the slots of each label. One host alone may always go.",
        widget=widgets.number_input(),
    )
    drain_minutes = forms.ChoiceField(
        choices=DEADLINES,
        required=False,
        label="A job still running",
        help_text="A job at GitHub may last five days. One that is ended fails.",
        widget=widgets.radio(),
    )

    def __init__(self, data: Any = None, *, hosts: list[Host]) -> None:
        super().__init__(data, initial={"hosts": [host.pk for host in hosts]})
        field = self.fields["hosts"]
        if isinstance(field, forms.ModelMultipleChoiceField):
            field.queryset = Host.objects.in_service().order_by("name")

    @property
    def plan(self) -> Plan:
        """The round that was asked for."""
        told = self.cleaned_data
        return Plan(
            hosts=list(told["hosts"]),
            reason=told["reason"],
            act=told["act"],
            minutes=told["minutes"],
            percent_out=told["percent_out"],
            drain_minutes=int(told["drain_minutes"]) if told["drain_minutes"] else None,
        )
