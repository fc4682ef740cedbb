"""What a person may ask to have provisioned: a pool's runners, or labels of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from django import forms
from django.db.models import QuerySet

from runners import placement, pools
from runners.forms import widgets
from runners.lifecycle import COUNT_LIMIT, Order, clean_labels
from runners.models import Host, Pool, Scope

EPHEMERAL: Final = "ephemeral"
PERSISTENT: Final = "persistent"
LIFETIMES: Final = ((EPHEMERAL, "One job"), (PERSISTENT, "Until stopped"))
DEFAULT_PATTERN: Final = "{host}-{random}"
HOST_GONE: Final = "That host is gone. Choose another."


class ProvisionForm(forms.Form):
    """An order. With a pool, the pool says what a runner is; labels given are added to its own."""

    pool = forms.ModelChoiceField(
        Pool.objects.none(),
        required=False,
        to_field_name="name",
        label="Pool",
        empty_label="Custom",
    )
    scope = forms.ModelChoiceField(
        Scope.objects.none(),
        required=False,
        label="Scope",
        empty_label="Choose a scope",
        help_text="Where the runners register. A pool brings its own.",
        error_messages={"invalid_choice": "That scope is gone. Choose another."},
        widget=widgets.select(),
    )
    labels = forms.CharField(
        required=False,
        max_length=4000,
        label="Labels",
        help_text="Separate them with commas. Jobs match when every runs-on label is here.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false", list="known-labels"),
    )
    count = forms.IntegerField(
        min_value=1,
        max_value=COUNT_LIMIT,
        initial=1,
        label="How many",
        error_messages={"required": "Say how many, such as 1."},
    )
    lifetime = forms.ChoiceField(choices=LIFETIMES, initial=EPHEMERAL, label="Lifetime")
    host = forms.IntegerField(
        required=False,
        label="Host",
        error_messages={"invalid": HOST_GONE},
        widget=widgets.select(),
    )
    name_pattern = forms.CharField(
        required=False,
        max_length=64,
        label="Name pattern",
        help_text="{host}, {pool} and {random} are filled in; {host} and {random} are added when "
        "missing.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    runner_group_id = forms.IntegerField(
        required=False,
        min_value=1,
        label="Runner group ID",
        help_text="The number at the end of its address at GitHub. Empty: the scope's group.",
        widget=widgets.number_input(),
    )
    runner_group_name = forms.CharField(
        required=False,
        max_length=100,
        label="Runner group name",
        help_text="Needed beside an ID: persistent runners register by name.",
        widget=widgets.text_input(autocomplete="off"),
    )
    reason = forms.CharField(
        required=False,
        max_length=200,
        label="Reason",
        help_text="Kept in the audit log.",
        widget=widgets.text_input(autocomplete="off"),
    )

    def __init__(
        self, data: Mapping[str, Any] | None = None, *, initial: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(data, initial=dict(initial or {}))
        _choose_from(self, "pool", Pool.objects.select_related("scope").prefetch_related("labels"))
        _choose_from(self, "scope", Scope.objects.all())

    def offer_hosts(self, among: placement.Room) -> None:
        """Let a person choose among these hosts, each with the slots it has free."""
        host = self.fields["host"].widget
        if isinstance(host, forms.Select):
            free = [(h.pk, f"{h.name} ({among.free(h)} free)") for h in among.hosts]
            host.choices = [("", "Let Fleetui choose"), *free]

    def clean_host(self) -> Host | None:
        pk: int | None = self.cleaned_data["host"]
        if pk is None:
            return None
        host = Host.objects.in_service().filter(pk=pk).first()
        if host is None:
            raise forms.ValidationError(HOST_GONE)
        return host

    def clean_labels(self) -> list[str]:
        names = [name.strip() for name in self.cleaned_data["labels"].split(",")]
        return [name for name in names if name]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("pool") is None and "pool" not in self.errors:
            if cleaned.get("scope") is None and "scope" not in self.errors:
                self.add_error("scope", "Choose where the runners register.")
            if not cleaned.get("labels") and "labels" not in self.errors:
                self.add_error("labels", "Give at least one label, such as self-hosted.")
        if cleaned.get("runner_group_id") and not cleaned.get("runner_group_name"):
            self.add_error("runner_group_name", "Give the group's name beside its ID.")
        return cleaned

    @property
    def order(self) -> Order:
        """The order as the lifecycle takes it; raises InvalidRequest for labels GitHub refuses."""
        cleaned = self.cleaned_data
        pool: Pool | None = cleaned["pool"]
        group_id: int | None = cleaned["runner_group_id"]
        if pool is not None:
            order = pools.order_for(pool)
            order = replace(order, labels=clean_labels([*order.labels, *cleaned["labels"]]))
        else:
            order = Order(
                scope=cleaned["scope"],
                labels=clean_labels(cleaned["labels"]),
                name_pattern=DEFAULT_PATTERN,
                ephemeral=cleaned["lifetime"] == EPHEMERAL,
            )
        return replace(
            order,
            count=cleaned["count"],
            host=cleaned["host"],
            name_pattern=cleaned["name_pattern"] or order.name_pattern,
            runner_group_id=group_id or order.runner_group_id,
            runner_group_name=cleaned["runner_group_name"] if group_id else order.runner_group_name,
        )


def _choose_from(form: forms.Form, name: str, rows: QuerySet[Any]) -> None:
    field = form.fields[name]
    if isinstance(field, forms.ModelChoiceField):
        field.queryset = rows
