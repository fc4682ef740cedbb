"""What an admin decides of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django import forms

from runners.forms import widgets
from runners.models import Scope
from runners.pool_policy import MAX_RUNNERS_LIMIT, Policy

ARCHITECTURES: Final = (
    ("", "As the labels say"),
    ("x64", "x64"),
    ("arm64", "ARM64"),
    ("riscv64", "RISC-V"),
    ("arm", "ARM"),
)


class PoolForm(forms.Form):
    """A pool's policy."""

    name = forms.SlugField(
        max_length=40,
        label="Name",
        error_messages={
            "invalid": "A pool's name has letters, digits, - and _, such as linux-x64."
        },
        widget=widgets.text_input(autocomplete="off", spellcheck="false", placeholder="linux-x64"),
    )
    scope = forms.ModelChoiceField(
        Scope.objects.all(),
        label="Scope",
        empty_label=None,
        help_text="Where its runners register.",
        widget=widgets.select(),
    )
    labels = forms.CharField(
        max_length=4000,
        initial="self-hosted, linux, x64",
        label="Labels",
        help_text="Separate them with commas.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    min_idle = forms.IntegerField(
        min_value=0,
        max_value=MAX_RUNNERS_LIMIT,
        initial=1,
        label="Keep idle",
        help_text="Runners that wait for a job at any time.",
        widget=widgets.number_input(),
    )
    max_runners = forms.IntegerField(
        min_value=1,
        max_value=MAX_RUNNERS_LIMIT,
        initial=10,
        label="Never more than",
        help_text="Runners at once, idle and busy together.",
        widget=widgets.number_input(),
    )
    lifetime = forms.ChoiceField(
        choices=(("ephemeral", "One job each"), ("persistent", "Until stopped")),
        initial="ephemeral",
        label="Lifetime",
        help_text="Until stopped is the exception: the host keeps a registration key.",
        widget=widgets.select(),
    )
    architecture = forms.ChoiceField(
        choices=ARCHITECTURES, required=False, label="Architecture", widget=widgets.select()
    )
    sites = forms.CharField(
        required=False,
        max_length=600,
        label="Preferred sites",
        help_text="The first first; others serve when they are full.",
        widget=widgets.text_input(autocomplete="off"),
    )
    needs_gpu = forms.BooleanField(
        required=False, label="Needs a GPU", widget=forms.CheckboxInput(attrs={"role": "switch"})
    )
    owner = forms.CharField(
        required=False,
        max_length=100,
        label="Owner",
        help_text="Whom to ask about it.",
        widget=widgets.text_input(autocomplete="off"),
    )

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if name == "new":
            raise forms.ValidationError("That name is this page's address. Choose another.")
        return name

    def clean_labels(self) -> list[str]:
        names = [name.strip() for name in self.cleaned_data["labels"].split(",")]
        return [name for name in names if name]

    def clean_sites(self) -> tuple[str, ...]:
        names = [name.strip() for name in self.cleaned_data["sites"].split(",")]
        return tuple(name for name in names if name)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        idle, most = cleaned.get("min_idle"), cleaned.get("max_runners")
        if idle is not None and most is not None and idle > most:
            self.add_error("min_idle", f"That is more than the {most} it may run.")
        return cleaned

    @property
    def policy(self) -> Policy:
        """What was entered, as the domain takes it."""
        cleaned = self.cleaned_data
        return Policy(
            name=cleaned["name"],
            scope=cleaned["scope"],
            labels=cleaned["labels"],
            min_idle=cleaned["min_idle"],
            max_runners=cleaned["max_runners"],
            ephemeral=cleaned["lifetime"] == "ephemeral",
            architecture=cleaned["architecture"],
            needs_gpu=cleaned["needs_gpu"],
            sites=cleaned["sites"],
            owner=cleaned["owner"],
        )

    @classmethod
    def showing(cls, policy: Policy) -> PoolForm:
        """The form filled in with a policy."""
        initial: Mapping[str, Any] = {
            "name": policy.name,
            "scope": policy.scope,
            "labels": ", ".join(policy.labels),
            "min_idle": policy.min_idle,
            "max_runners": policy.max_runners,
            "lifetime": "ephemeral" if policy.ephemeral else "persistent",
            "architecture": policy.architecture,
            "sites": ", ".join(policy.sites),
            "needs_gpu": policy.needs_gpu,
            "owner": policy.owner,
        }
        return cls(initial=dict(initial))


class PauseForm(forms.Form):
    """A pause, with the note others read."""

    reason = forms.CharField(
        max_length=200,
        label="Reason",
        help_text="Shown on the pool and in the audit log.",
        error_messages={"required": "Say why, in a few words."},
        widget=widgets.text_input(autocomplete="off", placeholder="Base image is being rebuilt"),
    )


class RemovePoolForm(forms.Form):
    """A removal with its reason."""

    reason = forms.CharField(
        required=False,
        max_length=200,
        label="Reason",
        help_text="Kept in the audit log.",
        widget=widgets.text_input(autocomplete="off"),
    )
