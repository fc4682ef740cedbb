"""The command line: ``fleet-agent enrol | run | join | status | preflight | egress | drill |
service``.

Exit codes: 0 done, or running and connected · 1 refused or failed, in words on standard error ·
2 wrong arguments · 3 (``status``) not running · 4 (``status``) running but not connected.
"""

from __future__ import annotations

import argparse
import getpass
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
from pathlib import Path

from . import __version__, drill
from .config import Config, NotEnrolled, StateDir
from .egress import GITHUB, egress_rules, parse_destination, resolvers_of
from .errors import AgentError
from .facts import Facts, collect_facts
from .hardware import Hardware
from .isolation import ROOT_VARIABLE, Isolation, find_isolation, slot_uids
from .loop import Agent
from .packages import PackageStore
from .pose import load_pose, strike
from .preflight_command import add_options, preflight
from .process_table import boot_id
from .redact import JsonFormatter, RedactingFormatter, redact
from .server import Server
from .service import install_unit, unit_text
from .status import read_status
from .talker import Talker
from .wire import JsonObject, timestamp
from .work import Workshop

log = logging.getLogger("fleet_agent")

CODE_VARIABLE = "FLEET_ENROLMENT_CODE"
CODE = re.compile(r"fl[ae]_[A-Za-z0-9]+_[A-Za-z0-9_-]+")
DEFAULT_STATE_DIR = "/var/lib/fleet-agent"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    if any(CODE.search(argument) for argument in given):
        print(
            "fleet-agent: a code or token on the command line can be read by every user of this "
            f"machine: pass it in {CODE_VARIABLE}, with --code-file, or type it when asked. "
            "Make a new code: this one is no secret any more.",
            file=sys.stderr,
        )
        return 2
    options = parser().parse_args(given)
    start_logging(options.verbose, options.log_format)
    try:
        return int(options.command(options) or 0)
    except AgentError as err:
        print(f"fleet-agent: {redact(str(err))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the command line's description."""
    top = argparse.ArgumentParser(prog="fleet-agent", description=__doc__.split("\n")[0])
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--state-dir", type=Path, default=Path(DEFAULT_STATE_DIR), metavar="DIR")
    common.add_argument("-v", "--verbose", action="store_true")
    common.add_argument(
        "--log-format", choices=("line", "json"), default="line", help="of standard error"
    )
    enrolling = argparse.ArgumentParser(add_help=False)
    enrolling.add_argument("--name", default=socket.gethostname(), help="the host's name")
    enrolling.add_argument("--site", help="the site or region the host belongs to")
    enrolling.add_argument("--slots", type=int, help="how many runners at most")
    enrolling.add_argument("--ca-file", help="certificates to trust besides the system's")
    enrolling.add_argument("--code-file", type=Path, help="file with the one-time code")
    posing = argparse.ArgumentParser(add_help=False)
    posing.add_argument("--pose", type=Path, help="JSON file of facts to claim (demos, tests)")
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument(
        "--stop-runners", action="store_true", help="stop idle runners when the agent ends"
    )

    command = commands.add_parser("enrol", parents=[common, enrolling, posing], help="enrol once")
    command.add_argument("--server", required=True, metavar="URL")
    command.set_defaults(command=enrol)
    command = commands.add_parser("run", parents=[common, posing, running], help="run the agent")
    command.set_defaults(command=run)
    command = commands.add_parser(
        "join", parents=[common, enrolling, posing, running], help="enrol if needed, then run"
    )
    command.add_argument("--server", required=True, metavar="URL")
    command.set_defaults(command=join)
    command = commands.add_parser("status", parents=[common], help="how the agent is doing")
    command.add_argument("--json", action="store_true")
    command.set_defaults(command=show_status)
    command = commands.add_parser(
        "preflight", parents=[common], help="check what this machine has, and what it lacks"
    )
    add_options(command)
    command.set_defaults(command=preflight)
    command = commands.add_parser("drill", help="break something on purpose, for a while")
    add_drills(command, common)
    command = commands.add_parser(
        "egress", parents=[common], help="print firewall rules for what jobs may reach"
    )
    command.add_argument(
        "--allow", action="append", default=[], metavar="HOST[:PORT]", help="besides GitHub's"
    )
    command.set_defaults(command=egress)
    command = commands.add_parser("service", parents=[common], help="print a systemd unit")
    command.add_argument("--install", action="store_true", help="install, enable and start it")
    command.add_argument("--user", default=None, help="run as this user (default: the caller)")
    command.set_defaults(command=service)
    return top


def add_drills(command: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    """Describe the failure drills."""
    drills = command.add_subparsers(required=True, metavar="DRILL")
    one = drills.add_parser("kill-runner", parents=[common], help="kill a runner's process")
    one.add_argument("--name", default="", help="this runner; without it an idle one")
    one.add_argument("--busy", action="store_true", help="also one with a job, which fails")
    one.set_defaults(
        command=lambda options: drill.kill_runner(
            drill.state_of(options.state_dir), print, name=options.name, busy=options.busy
        )
    )
    one = drills.add_parser("cut-network", parents=[common], help="cut it from the dashboard")
    one.add_argument("--seconds", type=float, default=120.0)
    one.set_defaults(
        command=lambda options: drill.cut_network(
            drill.state_of(options.state_dir), print, seconds=options.seconds
        )
    )
    one = drills.add_parser("fill-disk", parents=[common], help="fill the state directory's disk")
    one.add_argument("--percent", type=float, default=90.0)
    one.add_argument("--seconds", type=float, default=120.0)
    one.set_defaults(
        command=lambda options: drill.fill_disk(
            drill.state_of(options.state_dir),
            print,
            percent=options.percent,
            seconds=options.seconds,
        )
    )


def start_logging(verbose: bool, log_format: str) -> None:
    """Log redacted lines to standard error."""
    handler = logging.StreamHandler()
    line = RedactingFormatter("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonFormatter() if log_format == "json" else line)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if verbose else logging.INFO)
    logging.getLogger("urllib3").setLevel(logging.WARNING)


def read_code(code_file: Path | None) -> str:
    """Return the one-time code: from the environment, a file, a pipe, or typed in."""
    code = os.environ.pop(CODE_VARIABLE, "").strip()
    if not code and code_file is not None:
        try:
            code = code_file.read_text("utf-8").strip()
        except OSError as err:
            raise AgentError(f"the code file cannot be read: {err.strerror}") from err
    if not code and sys.stdin.isatty():
        code = getpass.getpass("Enrolment code: ").strip()
    elif not code:
        code = sys.stdin.readline().strip()
    if not CODE.fullmatch(code):
        raise AgentError(
            f"there is no usable enrolment code: make one on the Hosts page and pass it in "
            f"{CODE_VARIABLE}, with --code-file or on standard input"
        )
    return code


def enrol(options: argparse.Namespace) -> int:
    """Trade the one-time code for a token and store it."""
    state_dir = StateDir(options.state_dir)
    state_dir.create()
    with state_dir.lock():
        try:
            config, _ = state_dir.load()
        except NotEnrolled:
            pass
        else:
            raise AgentError(
                f"{state_dir.root} is enrolled already as {config.host_name} at "
                f"{config.server_url}: use another --state-dir or delete this one"
            )
        server = Server(options.server, ca_file=options.ca_file)
        facts = gather_facts(options, timestamp(), Hardware(server, state_dir.root))
        body: JsonObject = {
            "code": read_code(options.code_file),
            "name": options.name,
            "agent_version": __version__,
            "facts": facts,
        }
        if options.site:
            body["site"] = options.site
        if options.slots:
            body["slots"] = options.slots
        enrolment = server.enrol(body)
        config = Config(
            server_url=server.url,
            host_id=enrolment.host_id,
            host_name=enrolment.host_name,
            heartbeat_seconds=enrolment.heartbeat_seconds,
            ca_file=os.path.abspath(options.ca_file) if options.ca_file else None,
        )
        state_dir.save(config, enrolment.token)
    print(f"enrolled as {config.host_name} at {config.server_url}")
    return 0


def gather_facts(
    options: argparse.Namespace,
    started_at: str,
    hardware: Hardware,
    isolation: Isolation | None = None,
) -> Facts:
    """Return the facts to report: the machine's, or those it poses with."""
    pose = load_pose(options.pose) if options.pose else None
    facts = collect_facts(
        disk_path=hardware.disk_path,
        agent_started_at=started_at,
        survey=hardware.survey,
        checks=hardware.checks,
        emulations=hardware.emulations,
        clock_skew_seconds=hardware.server.clock_skew_seconds,
        isolation=isolation.facts() if isolation else None,
    )
    return strike(facts, pose)


def run(options: argparse.Namespace) -> int:
    """Run the agent in the foreground until it is told to stop."""
    state_dir = StateDir(options.state_dir)
    config, token = state_dir.load()
    JsonFormatter.host = config.host_name
    with state_dir.lock():
        started_at = timestamp()
        server = Server(
            config.server_url,
            token,
            ca_file=config.ca_file,
            is_cut=lambda: drill.is_cut(state_dir),
        )
        hardware = Hardware(server, state_dir.root)
        isolation = find_isolation(state_dir.root)
        talker = Talker(
            server,
            boot_id(),
            state_dir.root,
            lambda: gather_facts(options, started_at, hardware, isolation),
            state_dir.save_token,
            hardware.measured,
            hardware.latency.watch,
        )
        shop = Workshop(
            server=server,
            packages=PackageStore(state_dir.packages, verify_for=server.verify_for),
            wake_fifo=state_dir.wake_fifo,
            architecture=lambda: talker.facts["architecture"],
            stopping=threading.Event(),
            gpus=lambda: talker.facts["gpus"],
            isolation=isolation,
        )
        hardware.start(shop.stopping)
        if isolation.runs_jobs_as == "root":
            log.warning("jobs run as root here, or not at all: see %s", ROOT_VARIABLE)
        agent = Agent(state_dir, config, server, shop, talker, stop_runners=options.stop_runners)

        def stop(*_: object) -> None:
            shop.stopping.set()
            agent.poke()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        status = agent.run()
        isolation.groups.leave()
        return status


def join(options: argparse.Namespace) -> int:
    """Enrol if this state directory is not yet, then run in the foreground."""
    state_dir = StateDir(options.state_dir)
    try:
        state_dir.load()
    except NotEnrolled:
        enrol(options)
    os.environ.pop(CODE_VARIABLE, None)
    again = [sys.executable, "-m", "fleet_agent", "run", "--state-dir", str(options.state_dir)]
    if options.pose:
        again += ["--pose", str(options.pose)]
    if options.stop_runners:
        again.append("--stop-runners")
    if options.verbose:
        again.append("--verbose")
    again += ["--log-format", options.log_format]
    # A new program image: the code does not stay readable in this process's environment.
    os.execv(sys.executable, again)  # noqa: S606


def show_status(options: argparse.Namespace) -> int:
    """Print how the agent of a state directory is doing."""
    status = read_status(StateDir(options.state_dir))
    if options.json:
        print(json.dumps(status, indent=2))
    else:
        state = status.get("state", "never ran") if status["running"] else "not running"
        print(f"{state}: {status.get('host_name', '-')} at {status.get('server_url', '-')}")
        if status.get("last_error"):
            print(f"last error: {status['last_error']}")
        slots = status.get("slots")
        for slot in slots if isinstance(slots, list) else []:
            print(f"  {slot['name']}: {slot['phase']} {slot['reason']}".rstrip())
    if not status["running"]:
        return 3
    return 0 if status.get("state") == "connected" else 4


def egress(options: argparse.Namespace) -> int:
    """Print nftables rules for the users of this agent's slots."""
    state_dir = StateDir(options.state_dir)
    config, _ = state_dir.load()
    proxies = [os.environ[name] for name in ("https_proxy", "HTTPS_PROXY") if os.environ.get(name)]
    wanted = [*GITHUB, config.server_url, *proxies, *options.allow]
    resolvers = resolvers_of(Path("/etc/resolv.conf").read_text("utf-8", errors="replace"))
    allowed = [parse_destination(text) for text in wanted]
    print(egress_rules(slot_uids(state_dir.root), allowed, resolvers), end="")
    return 0


def service(options: argparse.Namespace) -> int:
    """Print a systemd unit for this agent, or install it."""
    text = unit_text(options.state_dir, options.user)
    if not options.install:
        print(text, end="")
        return 0
    print(install_unit(text))
    return 0


if __name__ == "__main__":
    sys.exit(main())
