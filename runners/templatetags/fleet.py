"""Tags for templates: icons, states, moments, lengths, sizes. They format and query nothing."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Final, Protocol, TypedDict

from django import template
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_MINUTE: Final = 60
_HOUR: Final = 3600
_DAY: Final = 86400
# Icons and glyphs are few and drawn hundreds of times a page.
_DRAWINGS_KEPT: Final = 512
# Words that share the picture of another word.
_SAME_GLYPH: Final = {
    "in_progress": "running",
    "waiting": "queued",
    "completed": "success",
    "skipped": "cancelled",
    "timed_out": "failure",
    "error": "failure",
    "free": "removed",
}


class StateContext(TypedDict):
    """What components/status.html and components/pill.html take."""

    state: str
    word: str


@register.simple_tag
def icon(name: str, css_class: str = "") -> SafeString:
    """Draw an interface icon; decorative, so the words beside it must say the same."""
    return _drawn_icon(name, css_class)


@lru_cache(maxsize=_DRAWINGS_KEPT)
def _drawn_icon(name: str, css_class: str) -> SafeString:
    return format_html(
        '<svg class="{}" aria-hidden="true"><use href="{}#i-{}"></use></svg>',
        f"icon {css_class}".strip(),
        static("icons.svg"),
        name,
    )


@register.simple_tag
def glyph(state: str | Enum, name: str = "") -> SafeString:
    """Draw the glyph of a state; with `name` it speaks for itself, without it is decoration."""
    return _drawn_glyph(str(getattr(state, "value", state)), name)


@lru_cache(maxsize=_DRAWINGS_KEPT)
def _drawn_glyph(value: str, name: str) -> SafeString:
    href = f"{static('icons.svg')}#g-{_SAME_GLYPH.get(value, value)}"
    if name:
        return format_html(
            '<svg class="glyph" role="img" aria-label="{}"><use href="{}"></use></svg>', name, href
        )
    return format_html('<svg class="glyph" aria-hidden="true"><use href="{}"></use></svg>', href)


@register.simple_tag
def mark() -> SafeString:
    """Draw the product's mark; decorative."""
    return format_html(
        '<svg aria-hidden="true"><use href="{}#mark"></use></svg>', static("icons.svg")
    )


class SlotLike(Protocol):
    """One slot of a host, as runners.views.fleet_map.Slot."""

    @property
    def state(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def percent(self) -> int | None: ...
    @property
    def glyph(self) -> str: ...


@register.simple_tag
def slot_windows(slots: Iterable[SlotLike]) -> SafeString:
    """Draw slots as windows: a lit one is a job at work, one without an address is free.

    A tag and not a partial: a map of hundreds of windows is drawn on every poll.
    """
    return mark_safe("".join(map(_window, slots)))  # noqa: S308 - each is made by format_html


def _window(slot: SlotLike) -> SafeString:
    if not slot.url:
        return format_html(
            '<span class="slot" data-state="{}" title="{}"></span>', slot.state, slot.title
        )
    return format_html(
        '<a class="slot{0}" data-state="{1}" href="{2}" title="{3}" aria-label="{3}">{4}</a>',
        "" if slot.percent is None else f" v{slot.percent}",
        slot.state,
        slot.url,
        conditional_escape(slot.title),
        glyph(slot.glyph) if slot.glyph else "",
    )


@register.inclusion_tag("components/status.html")
def status(state: str | Enum, word: str = "") -> StateContext:
    """Show a state as glyph, word and tone."""
    return _state_context(state, word)


@register.inclusion_tag("components/pill.html")
def pill(state: str | Enum, word: str = "") -> StateContext:
    """Show a state as a pill, for headers."""
    return _state_context(state, word)


def _state_context(state: str | Enum, word: str) -> StateContext:
    value = str(getattr(state, "value", state))
    label = word or str(getattr(state, "label", "")) or value.replace("_", " ").capitalize()
    return StateContext(state=value, word=label)


@register.simple_tag(takes_context=True)
def moment(context: template.Context, at: datetime | None, style: str = "ago") -> SafeString:
    """Show a moment in `<time>` with the full date and zone in its title.

    `style` is "ago" (6 min ago, in 2 h), "age" (6 min), "clock" (14:32:08) or "date" (17 Nov 2026,
    14:32). The first two are refreshed by script from `datetime`. Takes `now` from the context when
    the view gave one.
    """
    if at is None:
        return format_html('<span class="muted">{}</span>', "—")
    now = context.get("now")
    shown = _moment_text(at, now if isinstance(now, datetime) else timezone.now(), style)
    at = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}"{}>{}</time>',
        at.isoformat(timespec="seconds"),
        at.strftime("%a %-d %b %Y, %H:%M:%S %Z"),
        format_html(' data-moment="{}"', style) if style in ("ago", "age") else "",
        shown,
    )


def _moment_text(at: datetime, now: datetime, style: str) -> str:
    if style == "clock":
        return timezone.localtime(at).strftime("%H:%M:%S")
    if style == "date":
        return timezone.localtime(at).strftime("%-d %b %Y, %H:%M")
    seconds = int((now - at).total_seconds())
    length = coarse(abs(seconds))
    if style == "age":
        return length
    return f"{length} ago" if seconds >= 0 else f"in {length}"


def coarse(seconds: int) -> str:
    """Return a length in its largest unit: 31 s, 6 min, 3 h, 12 d."""
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < _HOUR:
        return f"{seconds // _MINUTE} min"
    if seconds < 2 * _DAY:
        return f"{seconds // _HOUR} h"
    return f"{seconds // _DAY} d"


@register.filter
def duration(seconds: float | None) -> str:
    """Return a length as people time jobs: 47s, 5m 56s, 1h 04m, 3d 02h."""
    if seconds is None:
        return "—"
    whole = max(0, int(seconds))
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR:02d}h"


@register.filter(name="bytes")
def size(count: float | None) -> str:
    """Return a size in decimal units, as disks are sold: 512 B, 41.2 GB, 128 GB."""
    if count is None:
        return "—"
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return _three_digits(value, unit)
        value /= 1000
    return _three_digits(value, "TB")


def _three_digits(value: float, unit: str) -> str:
    if unit == "B" or value >= 99.95 or value == int(value):
        return f"{value:.0f} {unit}"
    return f"{value:.1f} {unit}"


@register.filter
def number(count: int) -> str:
    """Return a count with its thousands apart: 3,118."""
    return f"{count:,}"


@register.filter
def money(amount: Decimal | None, currency: str) -> str:
    """Return an amount of money with two decimals: $4,812.56, 3.10 EUR."""
    if amount is None:
        return "—"
    rounded = round(amount, 2)
    sign = "\u2212" if rounded < 0 else ""
    shown = f"{abs(rounded):,.2f}"
    return f"{sign}${shown}" if currency == "USD" else f"{sign}{shown} {currency}"


@register.filter
def initials(name: str) -> str:
    """Return up to two capitals that stand for a person: "ops-oncall" gives OO."""
    words = [
        word for word in name.replace("-", " ").replace("_", " ").replace(".", " ").split() if word
    ]
    return "".join(word[0] for word in words[:2]).upper()
