"""Firewall rules for jobs: what the text says, and what it does in a network of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from fleet_agent.egress import (
    METADATA,
    Destination,
    egress_rules,
    parse_destination,
    resolvers_of,
)
from fleet_agent.errors import AgentError

UIDS = (70_000, 70_256)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("github.com", "github.com", 443),
        ("proxy.example.org:3128", "proxy.example.org", 3128),
        ("http://proxy:8080", "proxy", 8080),
        ("https://fleet.example.org/", "fleet.example.org", 443),
        ("10.1.0.0/16", "10.1.0.0/16", 443),
        ("[fd00::1]:8443", "fd00::1", 8443),
        ("fd00::1", "fd00::1", 443),
    ],
)
def test_destinations_are_read(text: str, host: str, port: int) -> None:
    assert parse_destination(text) == Destination(host, port)


@pytest.mark.parametrize("text", ["", "a b", "host:port", "; drop", "-x", "a:99999"])
def test_what_is_no_destination_is_refused(text: str) -> None:
    with pytest.raises(AgentError):
        parse_destination(text)


def test_rules_allow_what_is_named_and_refuse_the_rest() -> None:
    text = egress_rules(
        UIDS,
        [Destination("github.com")],
        ["10.0.0.2"],
        resolve=lambda _: ["192.0.2.7", "2001:db8::7"],
    )
    rules = [line.strip() for line in text.splitlines()]
    jobs = rules[rules.index("chain jobs {") + 1 : rules.index("}")]
    assert "ip daddr 192.0.2.7 tcp dport 443 accept" in jobs
    assert "ip6 daddr 2001:db8::7 tcp dport 443 accept" in jobs
    assert jobs[-1] == "reject"
    for number in METADATA:
        assert any(rule.endswith(f"daddr {number} reject") for rule in jobs)
    assert "meta skuid 70000-70256 jump jobs" in rules


def test_name_servers_on_the_host_itself_need_no_rule() -> None:
    text = "nameserver 127.0.0.53\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\nsearch x\n"
    assert resolvers_of(text) == ["10.0.0.2", "fe80::1"]


def network_missing() -> str:
    """Return why the rules cannot be tried here, "" when they can."""
    if not shutil.which("nft") or not shutil.which("ip"):
        return "nft and ip are needed"
    try_it = ["unshare", "--net", "nft", "list", "ruleset"]
    done = subprocess.run(try_it, capture_output=True, check=False)
    return "" if done.returncode == 0 else "no network of its own can be made here"


TRY = """
import errno, json, os, socket, subprocess, sys
rules = sys.stdin.read()
run = lambda *words, **more: subprocess.run(words, check=True, **more)
run("ip", "link", "set", "lo", "up")
# The addresses stand behind an interface that is not lo, so that the rules see them leave.
run("ip", "link", "add", "out", "type", "veth", "peer", "name", "far")
run("ip", "link", "set", "far", "up")
run("ip", "addr", "add", "192.0.2.1/24", "dev", "out")
run("ip", "link", "set", "out", "up")
run("ip", "route", "add", "default", "dev", "out")
for _ in range(2):
    run("nft", "-f", "-", input=rules, text=True)
def reach(uid, host, port):
    read, write = os.pipe()
    if os.fork() == 0:
        os.setresuid(uid, uid, uid)
        talk = socket.socket()
        talk.settimeout(0.3)
        said = "open"
        try:
            talk.connect((host, port))
        except TimeoutError:
            said = "sent"
        except OSError as err:
            said = "refused" if err.errno == errno.ECONNREFUSED else "unreachable"
        os.write(write, said.encode())
        os._exit(0)
    os.wait()
    return os.read(read, 20).decode()
job = 70001
print(json.dumps({
    "allowed": reach(job, "192.0.2.7", 443), "other port": reach(job, "192.0.2.7", 80),
    "other host": reach(job, "192.0.2.8", 443), "metadata": reach(job, "169.254.169.254", 80),
    "host itself": reach(0, "192.0.2.8", 443),
}))
"""


@pytest.mark.skipif(bool(network_missing()), reason=network_missing())
def test_kernel_refuses_jobs_what_is_not_allowed_and_nobody_else() -> None:
    rules = egress_rules(UIDS, [Destination("192.0.2.7")], [])
    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", TRY],
        input=rules,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    # Nobody answers out there: what leaves is either unanswered or has no neighbour to go to.
    refused = {name for name, said in seen.items() if said == "refused"}
    assert refused == {"other port", "other host", "metadata"}, seen
