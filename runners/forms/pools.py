"""What an admin decides of a pool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django import forms

from runners import pool_policy
from runners.forms import widgets, windows
from runners.models import Pool, Scope
from runners.pool_policy import RANGES, Policy
from runners.scaling import PRESETS, Presets, Window

ARCHITECTURES: Final = (
    ("", "As the labels say"),
    ("x64", "x64"),
    ("arm64", "ARM64"),
    ("riscv64", "RISC-V"),
    ("arm", "ARM"),
)
EPHEMERAL: Final = "ephemeral"
PERSISTENT: Final = "persistent"
PRESET: Final = "as the preset"
PAUSE_MINUTES_LIMIT: Final = 30 * 24 * 60
_LISTS: Final = ("labels", "repositories", "sites", "host_labels")
_OTHER_NAME: Final = {"ephemeral": "lifetime"}
"""Fields of the policy that the form has under another name."""


def preset_words(preset: Presets) -> str:
    """When a preset starts runners, in a few words."""
    numbers = PRESETS[preset]
    if numbers.scale_up_jobs == 1:
        return f"as soon as a job waits, idle for {numbers.idle_timeout_seconds // 60} min"
    return (
        f"at {numbers.scale_up_jobs} waiting jobs or after {numbers.scale_up_seconds} s, "
        f"idle for {numbers.idle_timeout_seconds // 60} min"
    )


def _whole(
    name: str, label: str, hint: str = "", *, initial: int | None = None, placeholder: str = ""
) -> forms.IntegerField:
    """A number of the policy; what it may be is said by `pool_policy.problems` alone.

    One with an `initial` must be given; an empty one of the others means what the preset says.
    """
    low, high, _ = RANGES[name]
    return forms.IntegerField(
        required=initial is not None,
        initial=initial,
        label=label,
        help_text=hint,
        error_messages={
            "invalid": "Give a whole number.",
            "required": "Give a number; 0 means none.",
        },
        widget=widgets.number_input(
            min=str(min(low, 0)),
            max=str(high),
            placeholder=placeholder,
        ),
    )


def _names(
    label: str, hint: str = "", *, initial: str = "", required: bool = False
) -> forms.CharField:
    """Names with commas between them."""
    return forms.CharField(
        required=required,
        max_length=4000,
        initial=initial,
        label=label,
        help_text=hint,
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )


def _switch(label: str) -> forms.BooleanField:
    return forms.BooleanField(
        required=False, label=label, widget=forms.CheckboxInput(attrs={"role": "switch"})
    )


class PoolForm(forms.Form):
    """A pool's policy; `problems` of the domain says what may be, field by field."""

    name = forms.CharField(
        label="Name",
        widget=widgets.text_input(autocomplete="off", spellcheck="false", placeholder="linux-x64"),
    )
    scope = forms.ModelChoiceField(
        Scope.objects.all(),
        label="Scope",
        empty_label=None,
        help_text="Where its runners register.",
        widget=widgets.select(),
    )
    labels = _names(
        "Labels",
        "Separate them with commas. Jobs match when every runs-on label is here.",
        initial="self-hosted, linux, x64",
        required=True,
    )
    repositories = _names(
        "Repositories",
        "Only these get a runner: owner/name, * for any. Empty: every one that the group lets in.",
    )
    owner = forms.CharField(
        required=False,
        max_length=100,
        label="Owner",
        help_text="Whom to ask about it.",
        widget=widgets.text_input(autocomplete="off"),
    )
    runner_group_id = forms.IntegerField(
        required=False,
        min_value=1,
        label="Runner group ID",
        help_text="The number at the end of its address at GitHub. Empty: the scope's group.",
        widget=widgets.number_input(min="1"),
    )
    runner_group_name = forms.CharField(
        required=False,
        max_length=100,
        label="Runner group name",
        help_text="For people to read.",
        widget=widgets.text_input(autocomplete="off"),
    )
    min_idle = _whole(
        "min_idle", "Keep idle", "Runners that wait for a job at any time.", initial=1
    )
    max_runners = _whole(
        "max_runners", "Never more than", "Runners at once, idle and busy together.", initial=10
    )
    warm_spares = _whole(
        "warm_spares", "Warm spares", "Kept idle besides while any of it works.", initial=0
    )
    preset = forms.ChoiceField(
        choices=[
            (preset.value, f"{Pool.Preset(preset.value).label}: {preset_words(preset)}")
            for preset in Presets
        ],
        initial=Presets.AGGRESSIVE.value,
        label="How fast it answers a queue",
        help_text="The numbers below override it one by one.",
        widget=widgets.select(),
    )
    scale_up_jobs = _whole(
        "scale_up_jobs", "Waiting jobs", "That start runners at once.", placeholder=PRESET
    )
    scale_up_seconds = _whole(
        "scale_up_seconds",
        "Longest wait, seconds",
        "That starts runners however few wait.",
        placeholder=PRESET,
    )
    idle_timeout_seconds = _whole(
        "idle_timeout_seconds",
        "Idle time-out, seconds",
        "Then a runner nobody needs leaves.",
        placeholder=PRESET,
    )
    scale_up_step = _whole(
        "scale_up_step", "Step", "Started at a time at most; 0: no limit.", initial=0
    )
    cooldown_seconds = _whole(
        "cooldown_seconds", "Cooldown, seconds", "Between starts for waiting jobs.", initial=0
    )
    lifetime = forms.ChoiceField(
        choices=((EPHEMERAL, "One job each"), (PERSISTENT, "Until stopped")),
        initial=EPHEMERAL,
        label="Lifetime",
        help_text="Until stopped is the exception: the host keeps a registration key.",
        widget=widgets.select(),
    )
    max_lifetime_seconds = _whole(
        "max_lifetime_seconds",
        "Oldest, seconds",
        "A runner older than that leaves; 0: never.",
        initial=0,
    )
    start_deadline_seconds = _whole(
        "start_deadline_seconds",
        "Start deadline, seconds",
        "Not online by then: replaced.",
        placeholder="as the fleet",
    )
    architecture = forms.ChoiceField(
        choices=ARCHITECTURES, required=False, label="Architecture", widget=widgets.select()
    )
    sites = _names("Preferred sites", "The best first. Others serve when these are full.")
    sites_only = _switch("No other sites")
    host_labels = _names("Host labels", "A host must carry all of them.")
    needs_gpu = _switch("Needs a GPU")
    runners_per_gpu = _whole("runners_per_gpu", "Runners a GPU", "That share one.", initial=1)
    emulation = _switch("Emulated hosts, too")
    cpus = _whole("cpus", "Cores", "Each runner takes of its host; 0: not counted.", initial=0)
    memory_gib = _whole("memory_gib", "Memory, GiB", "Each runner takes.", initial=0)
    disk_gib = _whole("disk_gib", "Disk, GiB", "Each runner takes.", initial=0)
    priority = _whole(
        "priority", "Priority", "Higher comes first where hosts are shared.", initial=0
    )
    weight = _whole("weight", "Weight", "Its share among pools of one priority.", initial=1)
    time_zone = forms.CharField(
        max_length=60,
        initial="UTC",
        label="Time zone",
        help_text="Of the hours below, such as Europe/Berlin.",
        widget=widgets.text_input(autocomplete="off", spellcheck="false"),
    )
    windows = forms.CharField(
        required=False,
        max_length=4000,
        label="Hours with other limits",
        help_text=f"One a line: {windows.EXAMPLE}. The first that holds counts.",
        widget=widgets.textarea(spellcheck="false", placeholder=windows.EXAMPLE),
    )

    def clean_labels(self) -> list[str]:
        return _split(self.cleaned_data["labels"])

    def clean_repositories(self) -> list[str]:
        return _split(self.cleaned_data["repositories"])

    def clean_sites(self) -> list[str]:
        return _split(self.cleaned_data["sites"])

    def clean_host_labels(self) -> list[str]:
        return _split(self.cleaned_data["host_labels"])

    def clean_windows(self) -> tuple[Window, ...]:
        return windows.parse(self.cleaned_data["windows"])

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            for name, words in pool_policy.problems(self.policy).items():
                self.add_error(_OTHER_NAME.get(name, name), words)
        return cleaned

    @property
    def policy(self) -> Policy:
        """What was entered, as the domain takes it."""
        cleaned = self.cleaned_data
        return Policy(
            labels=cleaned["labels"],
            ephemeral=cleaned["lifetime"] == EPHEMERAL,
            repositories=tuple(cleaned["repositories"]),
            sites=tuple(cleaned["sites"]),
            host_labels=tuple(cleaned["host_labels"]),
            **{name: cleaned[name] for name in _AS_ENTERED},
        )

    @classmethod
    def showing(cls, policy: Policy) -> PoolForm:
        """The form filled in with a policy."""
        initial: Mapping[str, Any] = {
            **{name: getattr(policy, name) for name in _AS_ENTERED},
            **{name: ", ".join(getattr(policy, name)) for name in _LISTS},
            "lifetime": EPHEMERAL if policy.ephemeral else PERSISTENT,
            "windows": windows.as_text(policy.windows),
        }
        return cls(initial=dict(initial))


_AS_ENTERED: Final = tuple(
    name for name in PoolForm.base_fields if name not in (*_LISTS, "lifetime")
)


def _split(text: str) -> list[str]:
    """Names between commas or on lines of their own, each once."""
    names = [name.strip() for name in text.replace("\n", ",").split(",")]
    return list(dict.fromkeys(name for name in names if name))


class ChangeForm(PoolForm):
    """A change of a pool's policy, with the reason others read later."""

    reason = forms.CharField(
        max_length=200,
        label="Reason of the change",
        help_text="Kept in the audit log.",
        error_messages={"required": "Say why, in a few words."},
        widget=widgets.text_input(autocomplete="off", placeholder="Mornings are short of runners"),
    )


class PauseForm(forms.Form):
    """A pause, with the note others read and perhaps its end."""

    reason = forms.CharField(
        max_length=200,
        label="Reason",
        help_text="Shown on the pool, with each job that waits for it, and in the audit log.",
        error_messages={"required": "Say why, in a few words."},
        widget=widgets.text_input(autocomplete="off", placeholder="Base image is being rebuilt"),
    )
    minutes = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=PAUSE_MINUTES_LIMIT,
        label="Resume by itself after, minutes",
        help_text="Empty: until somebody resumes it.",
        error_messages={
            "min_value": "Give at least one minute, or nothing for no end.",
            "max_value": f"Give at most {PAUSE_MINUTES_LIMIT} minutes, which is 30 days.",
            "invalid": "Give whole minutes, such as 60.",
        },
        widget=widgets.number_input(min="1"),
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
