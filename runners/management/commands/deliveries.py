"""Webhook deliveries: list them, look at one, have GitHub send one again.

Exit codes: 0 done, 2 wrong arguments, 3 no such delivery or scope, 1 GitHub lists it no more,
4 GitHub could not be asked or refused, 5 database. JSON: `{"deliveries": [{"id", "guid", "scope",
"event", "action", "repository", "subject_id", "received_at", "processed_at", "result", "outcome",
"replayed"}]}`; `show` adds `payload`, what was kept of it.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand, CommandParser

from runners import delivery_listing, lost_deliveries, wiring
from runners.delivery_listing import Wanted
from runners.management import cli
from runners.models import Delivery


class Command(BaseCommand):
    help = "List webhook deliveries, show one, or have GitHub send one again."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listing = verbs.add_parser("list", help="what came, newest first")
        listing.add_argument("--scope", default="", help="only this scope")
        listing.add_argument("--event", default="", help="only this event, such as workflow_job")
        listing.add_argument("--action", default="", help="only this action, such as queued")
        listing.add_argument("--result", default="", choices=["", *Delivery.Result.values])
        listing.add_argument(
            "--search", default="", help="a part of a repository's name, or a GUID"
        )
        listing.add_argument("--count", type=cli.between(1, 1000), default=50)
        cli.add_json(listing)
        show = verbs.add_parser("show", help="one delivery with what was kept of its payload")
        show.add_argument("guid", metavar="GUID")
        cli.add_json(show)
        again = verbs.add_parser("redeliver", help="have GitHub send it again")
        again.add_argument("guid", metavar="GUID")
        cli.add_reason(again)
        cli.add_json(again)

    def handle(self, *, verb: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            if verb == "list":
                self._list(options, json)
                return
            row = _found(str(options["guid"]))
            if verb == "redeliver":
                with wiring.github_client(row.scope) as github:
                    lost_deliveries.redeliver(
                        row,
                        github=github,
                        by=cli.actor(),
                        reason=str(options["reason"]),
                        now=wiring.now(),
                    )
                lines = [f"GitHub was asked to send {row.guid} again"]
            else:
                lines = [_line(row), str(row.payload)]
        data = _data(row) | ({"payload": row.payload} if verb == "show" else {})
        cli.say(self, json, {"deliveries": [data]}, lines)

    def _list(self, options: dict[str, object], as_json: bool) -> None:
        slug, count = str(options["scope"]), int(str(options["count"]))
        wanted = Wanted(
            scope=cli.find_scope(slug).slug if slug else "",
            event=str(options["event"]),
            action=str(options["action"]),
            result=str(options["result"]),
            search=str(options["search"]),
        )
        rows = list(delivery_listing.find(wanted).defer("payload")[:count])
        lines = [_line(row) for row in rows] or ["Nothing was delivered that fits"]
        cli.say(self, as_json, {"deliveries": [_data(row) for row in rows]}, lines)


def _found(guid: str) -> Delivery:
    rows = Delivery.objects.select_related("scope__credential").filter(guid=guid)
    row = rows.order_by("-pk").first()
    if row is None:
        raise cli.not_found("delivery", guid, "`deliveries list` lists them.")
    return row


def _line(row: Delivery) -> str:
    name = f"{row.event} {row.action}".strip()
    at = f"{row.received_at:%Y-%m-%d %H:%M:%S}"
    return f"{at} {row.guid} {row.scope.slug}: {name} {row.repository}: {row.outcome or row.result}"


def _data(row: Delivery) -> dict[str, object]:
    return {
        "id": row.pk,
        "guid": row.guid,
        "scope": row.scope.slug,
        "event": row.event,
        "action": row.action,
        "repository": row.repository,
        "subject_id": row.subject_id,
        "received_at": row.received_at,
        "processed_at": row.processed_at,
        "result": row.result,
        "outcome": row.outcome,
        "replayed": row.replayed,
    }
