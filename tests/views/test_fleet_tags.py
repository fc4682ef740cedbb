"""The template tags: what a person reads for a state, a moment, a length, a size."""

from datetime import timedelta

import pytest
from django.template import Context, Template

from runners.models import Job
from runners.states import HOST_TONE, TONE, DisplayState, HostState
from runners.templatetags.fleet import duration, initials, size
from tests.factories import NOW
from tests.views.dom import parse
from tests.views.stylesheets import css, glyph_ids


def render(markup, **context):
    return parse(Template("{% load fleet %}" + markup).render(Context(context)))


@pytest.mark.parametrize("state", [*DisplayState, *HostState])
def test_a_state_is_shown_by_glyph_word_and_tone(state):
    shown = render("{% status state %}", state=state).one("span")

    assert shown["data-state"] == state.value
    assert shown.text == state.label
    assert shown.one("use")["href"].rpartition("#")[2] in glyph_ids()


@pytest.mark.parametrize("status", [*Job.Status.values, "success", "failure", "cancelled"])
def test_a_job_status_has_a_glyph(status):
    href = render("{% glyph status %}", status=status).one("use")["href"]

    assert href.rpartition("#")[2] in glyph_ids()


_HUE = {"accent": "busy", "ok": "ok", "start": "start", "warn": "warn", "bad": "bad"}


@pytest.mark.parametrize("state", [*DisplayState, *HostState])
def test_the_stylesheet_gives_a_state_the_tone_the_domain_names(state):
    tone = TONE[state] if isinstance(state, DisplayState) else HOST_TONE[state]
    rules = [
        rule for rule in css("components").split("}") if f'[data-state="{state.value}"]' in rule
    ]
    hues = [rule for rule in rules if "--c-fg:" in rule]

    if tone == "mute":
        assert not hues
    else:
        assert f"--c-fg: var(--{_HUE[tone]}-fg)" in hues[0]


def test_a_glyph_that_stands_alone_has_a_name():
    shown = render('{% glyph "online" "Online" %}').one("svg")

    assert (shown["role"], shown["aria-label"]) == ("img", "Online")


def test_a_word_of_ones_own_replaces_the_states():
    assert render('{% pill "warning" "Disk 91%" %}').one("span").text == "Disk 91%"


@pytest.mark.parametrize(
    ("ago", "style", "shown"),
    [
        (timedelta(0), "ago", "0 s ago"),
        (timedelta(seconds=59), "ago", "59 s ago"),
        (timedelta(minutes=6, seconds=59), "ago", "6 min ago"),
        (timedelta(hours=47), "ago", "47 h ago"),
        (timedelta(days=12), "ago", "12 d ago"),
        (timedelta(minutes=-22), "ago", "in 22 min"),
        (timedelta(minutes=6), "age", "6 min"),
        (timedelta(minutes=6), "clock", "11:54:00"),
        (timedelta(minutes=6), "date", "23 Nov 2026, 11:54"),
    ],
)
def test_a_moment_is_shown_relative_or_absolute(ago, style, shown):
    time = render("{% moment at style %}", at=NOW - ago, style=style, now=NOW).one("time")

    assert time.text == shown


def test_a_moment_carries_its_full_date_and_zone():
    time = render("{% moment at %}", at=NOW, now=NOW).one("time")

    assert time["datetime"] == "2026-11-23T12:00:00+00:00"
    assert time["title"] == "Mon 23 Nov 2026, 12:00:00 UTC"
    assert time["data-moment"] == "ago"


def test_an_absolute_moment_is_not_refreshed():
    assert not render('{% moment at "clock" %}', at=NOW).one("time").has("data-moment")


def test_no_moment_is_a_dash():
    assert render("{% moment at %}", at=None).text == "—"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "—"),
        (-3, "0s"),
        (47.9, "47s"),
        (60, "1m 00s"),
        (356, "5m 56s"),
        (3840, "1h 04m"),
        (266_400, "3d 02h"),
    ],
)
def test_a_length_is_told_as_people_time_jobs(seconds, shown):
    assert duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (None, "—"),
        (512, "512 B"),
        (999, "999 B"),
        (1_500, "1.5 kB"),
        (41_240_000_000, "41.2 GB"),
        (128_000_000_000, "128 GB"),
        (999_960, "1.0 MB"),
        (3_000_000_000_000_000, "3000 TB"),
    ],
)
def test_a_size_has_at_most_one_decimal(count, shown):
    assert size(count) == shown


@pytest.mark.parametrize(
    ("name", "shown"), [("ops-oncall", "OO"), ("vera", "V"), ("a.b.c", "AB"), ("", "")]
)
def test_a_person_is_marked_by_initials(name, shown):
    assert initials(name) == shown
