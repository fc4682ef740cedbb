"""What a person may ask of drift: mend it, make it ours, choose what mends itself, clean up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django import forms
from django.http import QueryDict

from runners.drift_cleanup import AT_ONCE, Ghosts
from runners.drift_kinds import DriftKind
from runners.forms import widgets
from runners.models import Scope

KEY_DIGITS = 18  # more does not fit into a key of the database
AGES = (
    ("0", "However young"),
    ("1", "1 hour"),
    ("24", "1 day"),
    ("168", "7 days"),
    ("720", "30 days"),
)


def reason_field(*, required: bool, hint: str) -> forms.CharField:
    """Why; kept with the event."""
    return forms.CharField(
        required=required,
        max_length=200,
        label="Reason",
        help_text=hint,
        widget=widgets.text_input(autocomplete="off"),
    )


class DriftKeysField(forms.Field):
    """Keys of drift, as many hidden inputs of one name; what is no key is left out."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: list[str] | None) -> list[int]:
        keys = [key for key in value or [] if key.isascii() and key.isdigit()]
        return [int(key) for key in keys[:AT_ONCE] if len(key) <= KEY_DIGITS]


class ChosenForm(forms.Form):
    """The rows somebody ticked."""

    ids = DriftKeysField(required=False)


class FixForm(ChosenForm):
    """Mend these, after their consequence was shown."""

    reason = reason_field(required=False, hint="Kept in the audit log.")
    confirmed = forms.CharField(initial="yes", widget=forms.HiddenInput())


class AdoptForm(forms.Form):
    """Make somebody else's runner ours to clean up."""

    reason = reason_field(
        required=True, hint="Say why this runner may be deleted. It is kept in the audit log."
    )


class AutoForm(forms.Form):
    """Which kinds are mended without asking."""

    kinds = forms.MultipleChoiceField(
        required=False,
        choices=[choice for choice in DriftKind.choices if choice[0] != DriftKind.FOREIGN.value],
    )

    @property
    def chosen(self) -> list[DriftKind]:
        """The kinds that were ticked."""
        return [DriftKind(kind) for kind in self.cleaned_data["kinds"]]


class GhostForm(forms.Form):
    """Which offline ghosts to delete."""

    name = forms.CharField(
        required=False,
        max_length=200,
        label="Name",
        help_text="A pattern such as ci-*. Empty: every name.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false", placeholder="ci-*"),
    )
    scope = forms.TypedChoiceField(
        required=False, coerce=int, empty_value=None, label="Scope", widget=widgets.select()
    )
    age = forms.ChoiceField(
        required=False,
        choices=AGES,
        label="Known for at least",
        widget=widgets.select(),
    )

    def __init__(self, data: QueryDict, *, scopes: Sequence[Scope]) -> None:
        super().__init__(data)
        field = self.fields["scope"]
        if isinstance(field, forms.TypedChoiceField):
            field.choices = [("", "Any"), *((scope.pk, scope.slug) for scope in scopes)]

    @property
    def wanted(self) -> Ghosts:
        """The filter that was asked for."""
        told = self.cleaned_data
        return Ghosts(
            pattern=told["name"],
            scope_id=told["scope"],
            minimum_age=timedelta(hours=int(told["age"] or 0)),
        )
