"""What a policy would have done, as figures beside those of another one, and a graph of both."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Final

from django.http import QueryDict

from runners import policy_preview, wiring
from runners.models import Pool
from runners.policy_preview import DEFAULT_SPAN, JOBS_PLAYED, SPANS, Preview
from runners.pool_policy import Policy
from runners.scaling_replay import Moment, Outcome
from runners.templatetags.fleet import coarse, duration, number
from runners.views.count_charts import COLUMNS, CountChart, Sample, count_chart
from runners.views.pool_graph import Drawn, runners_before
from runners.views.pool_graph import runners as runners_line
from runners.views.pool_graph import waiting as waiting_area
from runners.views.pool_graph import working as working_area

DRAFT: Final = "This policy"
CURRENT: Final = "As it is saved"
_WORKING: Final = "Working"
_RUNNERS: Final = "Runners"
_BEFORE: Final = "Runners, the other"
_WAITING: Final = "Jobs waiting"


@dataclass(frozen=True, slots=True)
class Option:
    """One choice of how to try a policy."""

    key: str
    word: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """How much history is played, and the preset the policy is set beside; "": as it is saved."""

    span: str
    against: str
    spans: list[Option]
    others: list[Option]

    @property
    def words(self) -> str:
        """What the policy is set beside."""
        return next(each.word for each in self.others if each.chosen)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the draft beside the other's; `tone` says whether the change is for the better
    ("up"), worse ("caution") or neither ("")."""

    name: str
    value: str
    was: str
    change: str
    tone: str


@dataclass(frozen=True, slots=True)
class PreviewCard:
    """What is shown of a preview: the words above it, its figures, its graph."""

    title: str
    note: str
    other: str
    warnings: list[str]
    figures: list[Figure]
    chart: CountChart
    drawn: list[Drawn]


def choice_of(asked: QueryDict, *, has_current: bool) -> Choice:
    """The choice of these form fields; what is not known means the usual."""
    first = CURRENT if has_current else "Nothing"
    others = {"": first} | {each.value: f"Preset {each.label.lower()}" for each in Pool.Preset}
    span = asked.get("span", "") if asked.get("span") in SPANS else DEFAULT_SPAN
    against = asked.get("against", "") if asked.get("against") in others else ""
    return Choice(
        span,
        against,
        [Option(key, word, key == span) for key, word in _SPAN_WORDS.items()],
        [Option(key, word, key == against) for key, word in others.items()],
    )


_SPAN_WORDS: Final = {"24h": "24 h", "7d": "7 d"}


def preview_card(
    draft: Policy, was: Policy | None, choice: Choice, *, now: datetime
) -> PreviewCard:
    """Try the draft, and beside it what `choice` names; reads history, changes nothing."""
    policies = [(DRAFT, draft)]
    if choice.against:
        preset_alone = replace(
            draft,
            preset=choice.against,
            scale_up_jobs=None,
            scale_up_seconds=None,
            idle_timeout_seconds=None,
        )
        policies.append((choice.words, preset_alone))
    elif was is not None:
        policies.append((CURRENT, was))
    found = policy_preview.preview(
        policies, span=choice.span, rules=wiring.scaling_rules(), now=now
    )
    outcome = found.tried[0].outcome
    other = found.tried[1] if len(found.tried) > 1 else None
    chart = _chart(found, outcome, other.outcome if other else None)
    drawn = [working_area(chart, _WORKING), runners_line(chart, _RUNNERS)]
    if other:
        drawn.append(runners_before(chart, _BEFORE))
    drawn.append(waiting_area(chart, _WAITING))
    return PreviewCard(
        title=_title(found),
        note=_note(found),
        other=other.name if other else "",
        warnings=list(_warnings(found)),
        figures=_figures(outcome, other.outcome if other else None),
        chart=chart,
        drawn=drawn,
    )


def _title(found: Preview) -> str:
    length = coarse(int((found.end - found.begin).total_seconds()))
    jobs = found.tried[0].outcome.jobs
    if found.made_up:
        return f"{number(jobs)} made-up jobs over {length}"
    return f"{number(jobs)} jobs of the last {length}"


def _note(found: Preview) -> str:
    if found.made_up:
        return "No job that ran lately fits, so working days of 200 short jobs are played."
    cut = " The latest are played." if found.tried[0].outcome.jobs == JOBS_PLAYED else ""
    return (
        f"A runner is online {found.start_seconds:.0f} s after it is asked for, as lately; hosts "
        f"are as they are now, without what other pools take of them.{cut}"
    )


def _warnings(found: Preview) -> Iterator[str]:
    """What a reader must know before the figures."""
    for each in found.tried:
        if not each.hosts:
            yield f"{each.name}: no host that could serve it takes runners now."
        if each.outcome.left:
            jobs = (
                "1 job still waits"
                if each.outcome.left == 1
                else (f"{number(each.outcome.left)} jobs still wait")
            )
            yield f"{each.name}: {jobs} at the end; they count as long as they waited."
    if len({each.outcome.jobs for each in found.tried}) > 1:
        yield "The two may take different jobs: compare shares and waits, not sums."


def _figures(outcome: Outcome, other: Outcome | None) -> list[Figure]:
    return [
        _figure("95th percentile wait", outcome, other, lambda each: each.wait(95), duration),
        _figure("Median wait", outcome, other, lambda each: each.wait(50), duration),
        _figure("Waited over 2 min", outcome, other, lambda each: float(each.long_waits), _jobs),
        _figure("Runner hours", outcome, other, lambda each: each.runner_hours, _hours),
        _figure("Time idle", outcome, other, lambda each: each.idle_share * 100, _percent),
        _figure("Most runners at once", outcome, other, lambda each: float(each.peak), _count),
    ]


def _figure(
    name: str,
    outcome: Outcome,
    other: Outcome | None,
    value_of: Callable[[Outcome], float],
    words: Callable[[float], str],
) -> Figure:
    """Less is better in all of them."""
    value = value_of(outcome)
    if other is None:
        return Figure(name, words(value), "", "", "")
    was = value_of(other)
    if words(was) == words(value):
        return Figure(name, words(value), words(was), "the same", "")
    if not was:
        return Figure(name, words(value), words(was), "", "caution")
    percent = round(abs(value - was) / was * 100)
    less = value < was
    change = f"{percent}% {'less' if less else 'more'}" if percent else ""
    return Figure(name, words(value), words(was), change, "up" if less else "caution")


def _jobs(value: float) -> str:
    return "1 job" if value == 1 else f"{number(int(value))} jobs"


def _hours(value: float) -> str:
    return f"{value:,.1f} h" if value < 100 else f"{value:,.0f} h"


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _count(value: float) -> str:
    return number(int(value))


def _chart(found: Preview, outcome: Outcome, other: Outcome | None) -> CountChart:
    names = [_WORKING, _RUNNERS, *([_BEFORE] if other else []), _WAITING]
    samples = []
    edges = [
        found.begin + (found.end - found.begin) * part / COLUMNS for part in range(COLUMNS + 1)
    ]
    others = _highest(other.curve, edges) if other else [Moment(at, 0, 0, 0) for at in edges[:-1]]
    for moment, beside in zip(_highest(outcome.curve, edges), others, strict=True):
        counts = {
            _WORKING: moment.busy,
            _RUNNERS: moment.runners,
            _BEFORE: beside.runners,
            _WAITING: moment.waiting,
        }
        samples.append(Sample(moment.at, {name: counts[name] for name in names}))
    return count_chart(samples, names, begin=found.begin, end=found.end)


def _highest(curve: Sequence[Moment], edges: Sequence[datetime]) -> list[Moment]:
    """The highest of each count between two edges, what held at the first one included."""
    moments = [moment.at for moment in curve]
    found = []
    for begin, end in pairwise(edges):
        first = max(0, bisect_right(moments, begin) - 1)
        there = curve[first : bisect_right(moments, end)]
        found.append(
            Moment(
                begin,
                max((moment.busy for moment in there), default=0),
                max((moment.runners for moment in there), default=0),
                max((moment.waiting for moment in there), default=0),
            )
        )
    return found
