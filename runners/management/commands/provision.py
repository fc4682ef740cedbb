"""Provision runners: on a host of your choice, or where there is room.

Exit codes: 0 all provisioned, 1 refused (none was), 2 wrong arguments, 3 no such scope, host or
pool, 4 GitHub could not be asked for the runner group, 5 database. JSON: `{"runners": [{"id",
"name", "host", "slot", "state"}]}`. Each run adds runners: it is the one command that does
something when run again.
"""

from __future__ import annotations

from dataclasses import replace

from django.core.management.base import BaseCommand, CommandParser

from runners import lifecycle, pools, scopes, wiring
from runners.errors import InvalidRequest
from runners.lifecycle import Order
from runners.management import cli


class Command(BaseCommand):
    help = "Provision runners, all or none."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--scope", default="", help="slug or address of the owner")
        parser.add_argument("--pool", default="", help="take scope, labels and the rest from it")
        parser.add_argument(
            "--label", action="append", default=[], dest="labels", help="may be given many times"
        )
        parser.add_argument("--host", default="", help="without it, placement chooses")
        parser.add_argument(
            "--count", type=cli.between(1, lifecycle.COUNT_LIMIT), default=1, metavar="N"
        )
        parser.add_argument(
            "--persistent", action="store_true", help="keeps its registration after a job"
        )
        parser.add_argument(
            "--runner-group",
            default="",
            metavar="NAME",
            help="a group's name or id at GitHub; without it, that of the pool or scope",
        )
        parser.add_argument("--site", default="", help="preferred site")
        parser.add_argument("--architecture", default="", help="x64, arm64, arm or riscv64")
        parser.add_argument("--gpu", action="store_true", help="only on a host with a GPU")
        cli.add_reason(parser)
        cli.add_json(parser)

    def handle(
        self,
        *,
        scope: str,
        pool: str,
        labels: list[str],
        host: str,
        count: int,
        persistent: bool,
        runner_group: str,
        site: str,
        architecture: str,
        gpu: bool,
        reason: str,
        json: bool,
        **options: object,
    ) -> None:
        with cli.exit_codes():
            order = _order_of(scope, pool, labels)
            if runner_group:
                order = _in_group(order, runner_group)
            order = replace(
                order,
                host=cli.find_host(host) if host else None,
                count=count,
                ephemeral=order.ephemeral and not persistent,
                sites=(site,) if site else order.sites,
                architecture=architecture or order.architecture,
                needs_gpu=order.needs_gpu or gpu,
            )
            made = pools.provision(order, by=cli.actor(), reason=reason, now=wiring.now())
        rows = [
            {
                "id": runner.pk,
                "name": runner.name,
                "host": runner.host.name,
                "slot": runner.slot,
                "state": runner.state,
            }
            for runner in made
        ]
        lines = [f"{row['name']} on {row['host']}, slot {row['slot']}" for row in rows]
        cli.say(self, json, {"runners": rows}, lines)


def _in_group(order: Order, group: str) -> Order:
    """Ask GitHub for the group: ephemeral runners join by its number, persistent ones by name."""
    with wiring.github_client(order.scope) as github:
        choice = scopes.runner_groups(order.scope, github=github)
    number, name = cli.find_runner_group(order.scope, choice, group)
    return replace(order, runner_group_id=number, runner_group_name=name)


def _order_of(scope: str, pool: str, labels: list[str]) -> Order:
    """What scope and pool say; a pool brings its own of everything."""
    if not pool:
        if not scope:
            raise InvalidRequest("Say where the runners belong: --scope, or --pool.")
        return Order(scope=cli.find_scope(scope), labels=labels)
    if scope or labels:
        raise InvalidRequest("A pool brings its scope and labels: leave --scope and --label out.")
    return pools.order_for(cli.find_pool(pool))
