"""Rolling maintenance: start a round over hosts, look at it, say a host is done, pause, stop.

Exit codes: 0 done (or was already so), 1 refused, 2 wrong arguments, 3 no such host or round,
5 database. JSON: `start`, `status`, `done`, `skip`, `pause`, `resume` and `stop` give one round:
`{"id", "reason", "state", "act", "minutes", "percent_out", "drain_minutes", "changed", "hosts":
[{"host", "step", "since", "note"}]}`; `list` gives `{"rounds": [the same without hosts]}`.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import maintenance, wiring
from runners.management import cli
from runners.models import Host, Maintenance

OF_A_ROUND = ("status", "pause", "resume", "stop")
OF_A_HOST = ("done", "skip")
ROUNDS_LISTED = 50


class Command(BaseCommand):
    help = "Take hosts out of service a few at a time, work on them, and give them back."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        start = verbs.add_parser("start", help="begin a round over these hosts, in this order")
        start.add_argument("hosts", nargs="*", metavar="HOST")
        start.add_argument("--site", default="", help="every host in service of this site, too")
        start.add_argument("--all", action="store_true", help="every host in service")
        start.add_argument(
            "--act",
            choices=Maintenance.Act.values,
            default=Maintenance.Act.CONFIRM,
            help="what ends a host's turn: your word, a restart of it, or time",
        )
        limit = cli.between(1, maintenance.MINUTES_LIMIT)
        start.add_argument("--minutes", type=limit, default=30, help="with --act minutes")
        start.add_argument("--percent-out", type=cli.between(1, 100), default=25)
        start.add_argument(
            "--drain-minutes", type=limit, help="end jobs that still run then; without it, wait"
        )
        cli.add_reason(start, required=True)
        cli.add_json(start)
        cli.add_json(verbs.add_parser("list", help="the last rounds"))
        for verb in OF_A_ROUND:
            round_verb = verbs.add_parser(verb)
            round_verb.add_argument("round", type=int, metavar="ROUND")
            cli.add_reason(round_verb)
            cli.add_json(round_verb)
        for verb in OF_A_HOST:
            host_verb = verbs.add_parser(verb)
            host_verb.add_argument("round", type=int, metavar="ROUND")
            host_verb.add_argument("host", metavar="HOST")
            cli.add_json(host_verb)

    def handle(self, *, verb: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            if verb == "list":
                self._list(json)
            elif verb == "start":
                self._say(_start(options), json, changed=True)
            elif verb in OF_A_HOST:
                work, host = find_round(options["round"]), cli.find_host(str(options["host"]))
                act = maintenance.confirm_done if verb == "done" else maintenance.skip
                act(work, host, by=cli.actor(), now=wiring.now())
                self._say(work, json, changed=True)
            else:
                work = find_round(options["round"])
                changed = _change(verb, work, str(options["reason"]))
                self._say(work, json, changed=changed)

    def _list(self, as_json: bool) -> None:
        rounds = Maintenance.objects.order_by("-created_at", "-pk")[:ROUNDS_LISTED]
        rows = [_row(work) for work in rounds]
        lines = [f"{row['id']:>4} {row['state']:<8} {row['reason']}" for row in rows]
        cli.say(self, as_json, {"rounds": rows}, lines or ["No round yet"])

    def _say(self, work: Maintenance, as_json: bool, *, changed: bool) -> None:
        work.refresh_from_db()
        turns = work.hosts.select_related("host").order_by("position")
        hosts = [
            {"host": t.host.name, "step": t.step, "since": t.step_at, "note": t.note} for t in turns
        ]
        lines = [
            f"Round {work.pk} is {work.get_state_display().lower()}: {work.reason}",
            *(
                f"{turn.host.name:<28} {turn.get_step_display()}"
                + (f" ({turn.note})" if turn.note else "")
                for turn in turns
            ),
        ]
        cli.say(self, as_json, {**_row(work), "changed": changed, "hosts": hosts}, lines)


def find_round(pk: object) -> Maintenance:
    """The round of this number."""
    work = Maintenance.objects.filter(pk=str(pk)).first()
    if work is None:
        raise cli.not_found("round", str(pk), "`maintenance list` tells them.")
    return work


def _start(options: dict[str, object]) -> Maintenance:
    names = options["hosts"]
    hosts = [cli.find_host(str(name)) for name in names] if isinstance(names, list) else []
    more = Host.objects.in_service().order_by("name")
    if options["site"]:
        hosts += more.filter(site=options["site"])
    elif options["all"]:
        hosts += more
    drain, minutes, percent = (
        options[name] for name in ("drain_minutes", "minutes", "percent_out")
    )
    plan = maintenance.Plan(
        hosts=list({host.pk: host for host in hosts}.values()),
        reason=str(options["reason"]),
        act=str(options["act"]),
        minutes=minutes if isinstance(minutes, int) else 30,
        percent_out=percent if isinstance(percent, int) else 25,
        drain_minutes=drain if isinstance(drain, int) else None,
    )
    return maintenance.start(plan, by=cli.actor(), now=wiring.now())


def _change(verb: str, work: Maintenance, reason: str) -> bool:
    verbs = {
        "pause": maintenance.pause,
        "resume": maintenance.resume,
        "stop": maintenance.stop,
    }
    if verb not in verbs:
        return False
    return verbs[verb](work, by=cli.actor(), reason=reason, now=wiring.now()) is not None


def _row(work: Maintenance) -> dict[str, object]:
    return {
        "id": work.pk,
        "reason": work.reason,
        "state": work.state,
        "act": work.act,
        "minutes": work.minutes,
        "percent_out": work.percent_out,
        "drain_minutes": work.drain_minutes,
    }
