"""Pools: list, look at one, pause, resume, start one more runner now, and read what was decided.

Exit codes: 0 done (or was already so), 1 refused, 2 wrong arguments, 3 no such pool, 5 database.
JSON: `list` gives `{"pools": [{"name", "scope", "labels", "min_idle", "max_runners", "idle",
"starting", "busy", "draining", "unknown", "waiting", "short", "code", "why", "held",
"paused_until"}]}`, `show` one of these with `policy` (field: value) and `verdicts` (groups of
waiting jobs it is about); `pause` and `resume` give `{"pool", "changed"}`; `start` gives
`{"runners": [{"id", "name", "host"}]}`; `decisions` gives `{"decisions": [{"at", "scanned",
"demand", "started", "stopped", "failed", "registrations_left", "took_ms", "words", "pools",
"waiting"}]}`, the newest first.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.management.base import BaseCommand, CommandParser

from runners import decisions, lifecycle, pool_picture, pool_policy, pools, wiring
from runners.management import cli
from runners.models import Decision
from runners.scaling import Plan, PoolView

MINUTES_LIMIT = 366 * 24 * 60
DECISIONS_LIMIT = 1000


class Command(BaseCommand):
    help = "Look at pools, pause and resume them, start one more runner, read their decisions."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        cli.add_json(verbs.add_parser("list", help="every pool with what it has and why"))
        show = verbs.add_parser("show", help="one pool: policy, runners, what waits for it")
        show.add_argument("pool", metavar="POOL")
        cli.add_json(show)
        pause = verbs.add_parser("pause", help="start and let go nothing until it is resumed")
        pause.add_argument("pool", metavar="POOL")
        pause.add_argument(
            "--minutes", type=cli.between(1, MINUTES_LIMIT), help="ends by itself after so long"
        )
        cli.add_reason(pause, required=True)
        cli.add_json(pause)
        resume = verbs.add_parser("resume", help="scale it again; ends back-off and quarantine")
        resume.add_argument("pool", metavar="POOL")
        cli.add_reason(resume)
        cli.add_json(resume)
        start = verbs.add_parser("start", help="start one more runner now, whatever waits")
        start.add_argument("pool", metavar="POOL")
        start.add_argument("--count", type=cli.between(1, lifecycle.COUNT_LIMIT), default=1)
        cli.add_reason(start)
        cli.add_json(start)
        log = verbs.add_parser("decisions", help="what the scaler found, decided and did")
        log.add_argument("--pool", default="", metavar="POOL", help="only looks with news of it")
        log.add_argument("--last", type=cli.between(1, DECISIONS_LIMIT), default=20)
        cli.add_json(log)

    def handle(self, *, verb: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            if verb == "list":
                self._list(json)
            elif verb == "show":
                self._show(str(options["pool"]), json)
            elif verb == "decisions":
                self._decisions(str(options["pool"]), options["last"], json)
            elif verb == "start":
                self._start(options, json)
            else:
                self._change(verb, options, json)

    def _list(self, as_json: bool) -> None:
        now = wiring.now()
        picture = pool_picture.look(wiring.scaling_rules(), now=now)
        planned = picture.plan()
        rows = [_row(pool, planned) for pool in picture.pools]
        lines = [str(row["why"]) for row in rows]
        cli.say(self, as_json, {"pools": rows}, lines or ["No pool yet"])

    def _show(self, name: str, as_json: bool) -> None:
        pool = cli.find_pool(name)
        policy = pool_policy.as_data(pool_policy.policy_of(pool))
        picture = pool_picture.look(wiring.scaling_rules(), now=wiring.now())
        planned = picture.plan()
        (view,) = [each for each in picture.pools if each.id == pool.pk]
        verdicts = [
            decisions.waiting_line(each) for each in planned.verdicts if each.pool_id == pool.pk
        ]
        row = {**_row(view, planned), "policy": policy, "verdicts": verdicts}
        lines = [
            str(row["why"]),
            *(f"    {key}: {value}" for key, value in policy.items()),
            *(
                f"{line['jobs']} waiting for {', '.join(_texts(line['labels']))} "
                f"({line['repository']}): {line['code']}"
                for line in verdicts
            ),
        ]
        cli.say(self, as_json, row, lines)

    def _change(self, verb: str, options: dict[str, object], as_json: bool) -> None:
        pool, now = cli.find_pool(str(options["pool"])), wiring.now()
        reason = str(options["reason"])
        if verb == "pause":
            minutes = options["minutes"]
            until = now + timedelta(minutes=minutes) if isinstance(minutes, int) else None
            event = pools.pause(pool, by=cli.actor(), reason=reason, now=now, until=until)
            done = f"{pool.name} is paused" + (
                f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""
            )
        else:
            event = pools.resume(pool, by=cli.actor(), reason=reason, now=now)
            done = f"{pool.name} scales again"
        line = done if event else f"{pool.name}: nothing to change"
        cli.say(self, as_json, {"pool": pool.name, "changed": event is not None}, [line])

    def _start(self, options: dict[str, object], as_json: bool) -> None:
        pool, count = cli.find_pool(str(options["pool"])), options["count"]
        made = pools.start_now(
            pool,
            count=count if isinstance(count, int) else 1,
            by=cli.actor(),
            reason=str(options["reason"]),
            now=wiring.now(),
        )
        rows = [{"id": each.pk, "name": each.name, "host": each.host.name} for each in made]
        lines = [f"{row['name']} on {row['host']}" for row in rows]
        cli.say(self, as_json, {"runners": rows}, lines)

    def _decisions(self, pool: str, last: object, as_json: bool) -> None:
        known = cli.find_pool(pool) if pool else None
        number = last if isinstance(last, int) else 20
        rows: list[dict[str, object]] = []
        said: list[str] = []
        for each in Decision.objects.all()[:DECISIONS_LIMIT].iterator():
            lines = [line for line in each.pools if known is None or line["pool_id"] == known.pk]
            if known is None or any(_news(line) for line in lines):
                rows.append(_decision(each, lines))
                said += _decision_lines(each, lines)
            if len(rows) == number:
                break
        cli.say(self, as_json, {"decisions": rows}, said or ["No decision yet"])


def _row(pool: PoolView, planned: Plan) -> dict[str, object]:
    (decision,) = [each for each in planned.decisions if each.pool_id == pool.id]
    line = decisions.pool_line(decision)
    until: datetime | None = pool.held.until if pool.held else None
    return {
        "name": pool.name,
        "scope": pool.scope.slug,
        "labels": sorted(pool.policy.labels),
        **{
            key: line[key]
            for key in (
                "min_idle",
                "max_runners",
                "idle",
                "starting",
                "busy",
                "draining",
                "unknown",
                "waiting",
                "short",
                "code",
                "why",
            )
        },
        "held": pool.held.code.value if pool.held else "",
        "paused_until": until,
    }


def _news(line: dict[str, object]) -> bool:
    """Whether a look did something for the pool, or could not do what it wanted."""
    return bool(line["start"] or line["stop"] or line["short"])


def _decision(each: Decision, lines: list[dict[str, object]]) -> dict[str, object]:
    return {
        "at": each.at,
        "scanned": each.scanned,
        "demand": each.demand,
        "started": each.started,
        "stopped": each.stopped,
        "failed": each.failed,
        "registrations_left": each.registrations_left,
        "took_ms": each.took_ms,
        "words": each.words,
        "pools": lines,
        "waiting": each.waiting,
    }


def _decision_lines(each: Decision, lines: list[dict[str, object]]) -> list[str]:
    head = f"{each.at:%Y-%m-%d %H:%M:%S} {each.demand} waiting; {each.words}"
    return [head, *(f"    {line['why']}" for line in lines if _news(line))]


def _texts(value: object) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else []
