"""What reports are judged by: promises, announced maintenance, prices, and who pays."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal
from typing import Any
from zoneinfo import available_timezones

from django import forms

from runners import promises
from runners.accounts import HostPrice
from runners.costs import Rates
from runners.forms import widgets
from runners.forms.hosts import reason_field
from runners.jobs import label_set_of
from runners.models import Pool, PoolTarget
from runners.promises import DAY_NAMES, Promise
from runners.targets import Calendar


def _money(label: str, *, decimals: int, **facts: Any) -> forms.DecimalField:
    """An amount of money or of watts."""
    return forms.DecimalField(
        min_value=0,
        max_digits=12,
        decimal_places=decimals,
        label=label,
        widget=widgets.number_input(step="any"),
        **facts,
    )


class PoolTargetForm(forms.Form):
    """A pool's availability target and its business hours."""

    availability_percent = forms.DecimalField(
        min_value=50,
        max_value=100,
        max_digits=6,
        decimal_places=3,
        label="Availability, percent",
        help_text="Of its business hours.",
        widget=widgets.number_input(step="any"),
    )
    zone = forms.CharField(
        max_length=60,
        label="Time zone",
        help_text="An IANA name, such as Europe/Berlin.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    days = forms.TypedMultipleChoiceField(
        choices=list(enumerate(DAY_NAMES)),
        coerce=int,
        label="Days",
        widget=forms.CheckboxSelectMultiple(attrs={"class": "check"}),
    )
    opens = forms.TimeField(label="From", widget=widgets.text_input(placeholder="08:00"))
    closes = forms.TimeField(
        label="Until",
        help_text="Local time. At or before the beginning: on the next day.",
        widget=widgets.text_input(placeholder="18:00"),
    )

    @classmethod
    def of(cls, data: Any, target: PoolTarget | None) -> PoolTargetForm:
        """A form with what is in force."""
        calendar = promises.calendar_of(target)
        return cls(
            data,
            initial={
                "availability_percent": target.availability_percent if target else "99.5",
                "zone": calendar.zone,
                "days": sorted(calendar.days),
                "opens": f"{calendar.opens:%H:%M}",
                "closes": f"{calendar.closes:%H:%M}",
            },
        )

    def clean_zone(self) -> str:
        zone = str(self.cleaned_data["zone"]).strip()
        if zone not in available_timezones():
            raise forms.ValidationError("No such time zone. Give an IANA name: Europe/Berlin, UTC.")
        return zone

    def promise(self) -> Promise:
        """What was entered."""
        told = self.cleaned_data
        return Promise(
            float(told["availability_percent"]),
            Calendar(told["zone"], frozenset(told["days"]), told["opens"], told["closes"]),
        )


class LabelTargetForm(forms.Form):
    """The queue target of one label set."""

    label_set = forms.CharField(
        max_length=500,
        label="Labels",
        help_text="As in runs-on, separated by commas.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    percent = forms.DecimalField(
        min_value=50,
        max_value=100,
        max_digits=5,
        decimal_places=2,
        label="Start in time, percent",
        widget=widgets.number_input(step="any"),
    )
    seconds = forms.IntegerField(
        min_value=1, max_value=86400, label="Within seconds", widget=widgets.number_input()
    )

    def clean_label_set(self) -> str:
        labels = label_set_of(str(self.cleaned_data["label_set"]).split(","))
        if not labels:
            raise forms.ValidationError("Name at least one label.")
        return labels


class WindowForm(forms.Form):
    """Maintenance told of before it begins."""

    pool = forms.ModelChoiceField(
        queryset=Pool.objects.order_by("name"),
        to_field_name="name",
        required=False,
        empty_label="All pools",
        label="Pool",
        widget=widgets.select(),
    )
    begins_at = forms.DateTimeField(
        label="Begins, UTC",
        widget=widgets.text_input(placeholder="2026-12-01 20:00", autocomplete="off"),
    )
    ends_at = forms.DateTimeField(
        label="Ends, UTC",
        widget=widgets.text_input(placeholder="2026-12-01 22:00", autocomplete="off"),
    )
    reason = reason_field(required=True, placeholder="Switch replacement in rack b2")

    def clean_begins_at(self) -> Any:
        return self.cleaned_data["begins_at"].replace(tzinfo=UTC)

    def clean_ends_at(self) -> Any:
        return self.cleaned_data["ends_at"].replace(tzinfo=UTC)


class RatesForm(forms.Form):
    """What is paid by use: electricity, GitHub's charge, cores elsewhere, and the price list."""

    per_kwh = _money("Electricity, a kWh", decimals=4)
    charge_per_minute = _money(
        "GitHub's charge, a self-hosted minute",
        decimals=4,
        help_text="0.002 was announced for 2026-03-01 and postponed: 0 until it comes.",
    )

    def __init__(self, data: Any, rates: Rates) -> None:
        super().__init__(
            data,
            initial={"per_kwh": rates.per_kwh, "charge_per_minute": rates.charge_per_minute},
        )
        for name, price in rates.cloud_per_core_hour.items():
            self.fields[f"cloud:{name}"] = _money(
                f"Cloud machine, {name}, a core's hour", decimals=4, initial=price
            )
        for listed in rates.prices:
            self.fields[f"sku:{listed.sku}"] = _money(
                f"{listed.sku}, a minute", decimals=4, initial=listed.per_minute
            )

    def told(self, prefix: str) -> dict[str, Decimal]:
        """The prices entered under "cloud" or "sku", by name."""
        return {
            name.partition(":")[2]: value
            for name, value in self.cleaned_data.items()
            if name.startswith(f"{prefix}:")
        }


class HostPriceForm(forms.Form):
    """What a machine cost, and what it costs."""

    purchase = _money("Purchase", decimals=2)
    months = forms.IntegerField(
        min_value=1, max_value=240, initial=36, label="Over months", widget=widgets.number_input()
    )
    bought_on = forms.DateField(
        required=False, label="Bought on", widget=widgets.text_input(placeholder="2026-01-31")
    )
    watts_idle = _money("Watts, idle", decimals=1)
    watts_busy = _money("Watts, all slots busy", decimals=1)
    rack_a_month = _money("Place in a rack, a month", decimals=2, initial=0)
    hands_a_month = _money("Hands, a month", decimals=2, initial=0)
    everywhere = forms.BooleanField(
        required=False,
        label="The same for every machine of its architecture without a price",
        widget=forms.CheckboxInput(attrs={"class": "check"}),
    )

    def price(self) -> HostPrice:
        """What was entered."""
        told = self.cleaned_data
        return HostPrice(**{name: told[name] for name in HostPrice.__slots__})


class RepositoryForm(forms.Form):
    """The team that pays for a repository, and whether everybody may see it."""

    name = forms.CharField(
        max_length=200,
        label="Repository",
        help_text="owner/name",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    team = forms.CharField(
        max_length=100, required=False, label="Team", widget=widgets.text_input()
    )
    public = forms.BooleanField(
        required=False,
        label="Public: standard hosted runners are free for it",
        widget=forms.CheckboxInput(attrs={"class": "check"}),
    )
