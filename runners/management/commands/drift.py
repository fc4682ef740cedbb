"""Drift: list the mismatches, have them mended, adopt somebody else's runner, choose what mends
itself.

Exit codes: 0 done (or was already so), 1 refused, 2 wrong arguments, 3 no such mismatch or scope,
5 database. JSON: `list`, `fix` and `adopt` give `{"drift": [{"id", "kind", "name", "scope", "host",
"runner", "wanted", "observed", "github", "since", "settled", "meaning", "fix", "by_itself",
"adopted_at", "fix_wanted_at", "fix_error"}]}`, `list` also `foreign` (how many are not ours) and
`unknown` (scopes GitHub can't be read for: `[{"scope", "since"}]`); `auto` gives
`{"auto": [kind], "changed"}`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from django.core.management.base import BaseCommand, CommandParser

from runners import drift, drift_listing, wiring
from runners.drift_kinds import MEANINGS, DriftKind
from runners.drift_listing import Wanted
from runners.errors import InvalidRequest
from runners.management import cli
from runners.models import Drift, Scope

KINDS = DriftKind.values
OURS = [kind for kind in KINDS if kind != DriftKind.FOREIGN]


class Command(BaseCommand):
    help = "List, mend and adopt what does not agree between us, the hosts and GitHub."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        listing = verbs.add_parser("list", help="the mismatches that last")
        listing.add_argument("--kind", choices=KINDS, help="only this kind; foreign: not ours")
        listing.add_argument("--scope", default="", help="only this scope")
        listing.add_argument("--search", default="", help="a part of a name, host or column")
        listing.add_argument("--all", action="store_true", help="news under way, too")
        cli.add_json(listing)
        fix = verbs.add_parser("fix", help="have mismatches mended")
        fix.add_argument("ids", nargs="*", type=cli.between(1, 10**18), metavar="ID")
        fix.add_argument("--kind", choices=OURS, help="every one of this kind that lasts")
        cli.add_reason(fix)
        cli.add_json(fix)
        adopt = verbs.add_parser("adopt", help="make somebody else's runner ours to clean up")
        adopt.add_argument("id", type=cli.between(1, 10**18), metavar="ID")
        cli.add_reason(adopt, required=True)
        cli.add_json(adopt)
        auto = verbs.add_parser("auto", help="what is mended without asking; changes it on request")
        auto.add_argument("--on", action="append", choices=OURS, default=[], metavar="KIND")
        auto.add_argument("--off", action="append", choices=OURS, default=[], metavar="KIND")
        cli.add_json(auto)

    def handle(self, *, verb: str, json: bool, **options: object) -> None:
        with cli.exit_codes():
            if verb == "list":
                self._list(options, json)
            elif verb == "fix":
                self._fix(options, json)
            elif verb == "adopt":
                row = _found([options["id"]])[0]
                drift.adopt(row, by=cli.actor(), reason=str(options["reason"]), now=wiring.now())
                row.refresh_from_db()
                self._say([row], json, [f"{row.name} may be deregistered now: drift fix {row.pk}"])
            else:
                self._auto(options, json)

    def _list(self, options: dict[str, object], as_json: bool) -> None:
        kind, scope = options["kind"], str(options["scope"])
        wanted = Wanted(
            kind=DriftKind(str(kind)) if kind else None,
            scope=cli.find_scope(scope).slug if scope else "",
            search=str(options["search"]),
            under_way=bool(options["all"]),
        )
        now = wiring.now()
        rows = list(drift_listing.find(wanted, now=now).select_related("scope", "host", "runner"))
        lines = [
            f"{row.pk:>6} {row.kind:<18} {row.name}: wanted {row.wanted or '-'}, host says "
            f"{row.observed or '-'}, GitHub says {row.github or '-'}"
            for row in rows
        ]
        blind = Scope.objects.filter(github_unknown_since__isnull=False).order_by("slug")
        unknown = [{"scope": each.slug, "since": each.github_unknown_since} for each in blind]
        lines += [
            f"GitHub unknown for {each.slug} since {each.github_unknown_since:%Y-%m-%d %H:%M} UTC"
            for each in blind
        ]
        foreign = drift_listing.count(wanted, now=now).foreign
        more = {"foreign": foreign, "unknown": unknown}
        if foreign and not kind:
            lines.append(f"{foreign} not ours: drift list --kind foreign")
        self._say(rows, as_json, lines or ["Everything agrees"], more)

    def _fix(self, options: dict[str, object], as_json: bool) -> None:
        ids, kind, now = options["ids"], options["kind"], wiring.now()
        rows = _found(ids if isinstance(ids, list) else [])
        if kind:
            wanted = Wanted(kind=DriftKind(str(kind)))
            more = drift_listing.find(wanted, now=now).exclude(pk__in=[row.pk for row in rows])
            rows += more.select_related("scope", "host", "runner")
        elif not rows:
            raise InvalidRequest("Name what to mend: ids of `drift list`, or --kind.")
        drift.ask_to_fix(rows, by=cli.actor(), reason=str(options["reason"]), now=now)
        for row in rows:
            row.refresh_from_db()
        lines = [f"{row.name}: {MEANINGS[DriftKind(row.kind)].fix.lower()}" for row in rows]
        self._say(rows, as_json, lines or ["Nothing of this kind lasts"])

    def _auto(self, options: dict[str, object], as_json: bool) -> None:
        on, off = (_kinds(options[name]) for name in ("on", "off"))
        changed = False
        if on or off:
            kinds = (drift.auto_kinds() | on) - off
            changed = drift.set_auto_kinds(kinds, by=cli.actor(), now=wiring.now()) is not None
        auto = sorted(kind.value for kind in drift.auto_kinds())
        lines = [f"{kind:<18} {'by itself' if kind in auto else 'when asked'}" for kind in OURS]
        cli.say(self, as_json, {"auto": auto, "changed": changed}, lines)

    def _say(
        self,
        rows: Sequence[Drift],
        as_json: bool,
        lines: Sequence[str],
        more: dict[str, object] | None = None,
    ) -> None:
        auto, now = drift.auto_kinds(), wiring.now()
        lasting = {row.pk for row in Drift.objects.filter(drift.settled(now)).only("pk")}
        told = [_told(row, auto, row.pk in lasting) for row in rows]
        cli.say(self, as_json, {"drift": told, **(more or {})}, lines)


def _found(ids: Sequence[object]) -> list[Drift]:
    """The rows of these ids, each once; nothing is done when one is missing."""
    rows = Drift.objects.select_related("scope", "host", "runner").in_bulk(
        [int(str(pk)) for pk in ids]
    )
    for pk in ids:
        if int(str(pk)) not in rows:
            raise cli.not_found("mismatch", str(pk), "`drift list` tells them.")
    return list(rows.values())


def _kinds(names: object) -> frozenset[DriftKind]:
    return frozenset(map(DriftKind, names)) if isinstance(names, list) else frozenset()


def _told(row: Drift, auto: Collection[DriftKind], settled: bool) -> dict[str, object]:
    meaning = MEANINGS[DriftKind(row.kind)]
    return {
        "id": row.pk,
        "kind": row.kind,
        "name": row.name,
        "scope": row.scope.slug if row.scope else None,
        "host": row.host.name if row.host else None,
        "runner": row.runner_id,
        "wanted": row.wanted,
        "observed": row.observed,
        "github": row.github,
        "since": row.since,
        "settled": settled,
        "meaning": meaning.meaning,
        "fix": meaning.fix,
        "by_itself": row.kind in auto,
        "adopted_at": row.adopted_at,
        "fix_wanted_at": row.fix_wanted_at,
        "fix_error": row.fix_error,
    }
