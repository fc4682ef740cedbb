"""``python -m runners.simulator``: the simulator as a program."""

from __future__ import annotations

import argparse
import signal
import threading
from pathlib import Path

from runners.simulator import persistence
from runners.simulator.principals import new_token
from runners.simulator.seed import Seed
from runners.simulator.server import Certificate
from runners.simulator.settings import NO_LIMITS, Settings
from runners.simulator.simulator import Simulator

DEFAULT_PORT = 8001


def main() -> None:
    """Serve until SIGINT or SIGTERM. Prints the URL as its first line."""
    parser = _parser()
    options = parser.parse_args()
    settings = Settings(runner_version=options.runner_version, ghes_version=options.ghes_version)
    settings.webhooks_anywhere = options.webhooks_anywhere
    if options.no_limits:
        settings.limits = NO_LIMITS
    simulator = Simulator(
        _seed(options),
        host=options.host,
        port=options.port,
        settings=settings,
        state_file=options.state,
        certificate=_certificate(options, parser),
    )
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with simulator:
        simulator.set_traffic(options.traffic)
        print(simulator.url, flush=True)
        stopping.wait()


def _seed(options: argparse.Namespace) -> Seed:
    defaults = Seed()
    return Seed(
        enterprise=options.enterprise,
        organizations=tuple(options.org) or defaults.organizations,
        repositories=tuple(options.repo) or defaults.repositories,
        public_repositories=tuple(options.public_repo),
        token=_token(options.token_file),
    )


def _certificate(
    options: argparse.Namespace, parser: argparse.ArgumentParser
) -> Certificate | None:
    if (options.tls_cert is None) != (options.tls_key is None):
        parser.error("--tls-cert and --tls-key belong together")
    return Certificate(options.tls_cert, options.tls_key) if options.tls_cert else None


def _token(path: Path | None) -> str:
    """Read the token, or make one and leave it in a file for its owner only."""
    if path is None:
        return ""
    if not path.exists():
        token = new_token("ghp_")
        persistence.write(path, token + "\n")
        return token
    return path.read_text(encoding="utf-8").strip()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m runners.simulator",
        description="A stand-in GitHub for tests and demonstrations. Prints its URL first.",
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", type=int, default=DEFAULT_PORT, help="0 takes any (default: %(default)s)")
    add("--state", type=Path, metavar="FILE", help="keep everything in FILE and resume from it")
    add("--tls-cert", type=Path, metavar="FILE", help="serve HTTPS with this chain (PEM)")
    add("--tls-key", type=Path, metavar="FILE", help="and this key (PEM)")
    add("--enterprise", default=Seed().enterprise, help="enterprise (default: %(default)s)")
    add("--org", action="append", default=[], metavar="NAME", help="organization; repeatable")
    add("--repo", action="append", default=[], metavar="OWNER/NAME", help="private; repeatable")
    add("--public-repo", action="append", default=[], metavar="OWNER/NAME", help="repeatable")
    add(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="holds the administrator's token; a new one is written where the file is missing",
    )
    add("--runner-version", default=Settings().runner_version, metavar="X.Y.Z")
    add("--ghes-version", default="", metavar="X.Y.Z", help="play GitHub Enterprise Server")
    add(
        "--traffic",
        type=float,
        default=0,
        metavar="JOBS",
        help="let that many jobs a minute arrive by themselves (default: none)",
    )
    add("--webhooks-anywhere", action="store_true", help="deliver webhooks beyond this machine")
    add("--no-limits", action="store_true", help="no rate limits of any kind")
    return parser


if __name__ == "__main__":
    main()
