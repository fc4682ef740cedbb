"""What host agents call: enrol, heartbeat, registration secrets, log. One POST each, bearer
token."""

from __future__ import annotations

import secrets

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse

from runners import enrolment, log_context, runner_log, wiring
from runners import heartbeat as beats
from runners import registration as registrations
from runners.agent_messages import PROTOCOL, parse_enrol, parse_heartbeat
from runners.api.responses import api_view, json_body, ok, refused
from runners.errors import InvalidRequest, NotPermitted
from runners.github.errors import GitHubError, GitHubUnavailable, RateLimited
from runners.models import Host, Runner
from runners.untrusted import integer

HEARTBEAT_LIMIT_BYTES = 16 * 1024 * 4
LOG_LIMIT_BYTES = 128 * 1024  # a chunk of characters that JSON writes with six bytes each
LARGEST_OFFSET = 2**53
SPEED_PIECE_BYTES = 64 * 1024
SPEED_PIECES = 256  # 16 MiB: what an agent takes at most


@api_view("POST")
def enrol(request: HttpRequest) -> HttpResponse:
    """Turn a one-time code into a host and its token."""
    asked = parse_enrol(json_body(request))
    now = wiring.now()
    done = enrolment.enrol(
        asked.code,
        name=asked.name,
        facts=asked.facts,
        agent_version=asked.agent_version,
        site=asked.site,
        slots=asked.slots,
        now=now,
    )
    return ok(
        201,
        host={"id": done.host.pk, "name": done.host.name},
        token=done.token.text,
        heartbeat_seconds=wiring.heartbeat_policy().quiet_seconds,
    )


@api_view("POST")
def heartbeat(request: HttpRequest) -> HttpResponse:
    """Take a heartbeat; answer the whole wanted set, or null for it when the agent holds it."""
    token = _bearer(request)
    message = json_body(request, limit=HEARTBEAT_LIMIT_BYTES)
    policy, now = wiring.heartbeat_policy(), wiring.now()
    version = beats.quick(token, message, policy=policy, now=now)
    if version is not None:
        return ok(
            protocol=PROTOCOL, version=version, next_seconds=policy.quiet_seconds, wanted=None
        )
    host = beats.authenticate(token)
    log_context.add(host=host.name)
    answer = beats.receive(host, token, parse_heartbeat(message), policy=policy, now=now)
    fields: dict[str, object] = {
        "protocol": PROTOCOL,
        "version": answer.version,
        "journal_seq": answer.journal_seq,
        "next_seconds": answer.next_seconds,
        "want_facts": answer.want_facts,
        "wanted": [_wanted(entry) for entry in answer.wanted],
    }
    if answer.clean:
        fields["clean"] = list(answer.clean)
    if answer.github_url:
        fields["github_url"] = answer.github_url
    if answer.token:
        fields["token"] = answer.token
    return ok(**fields)  # type: ignore[arg-type]  # no key is named "status"


@api_view("POST")
def jit_config(request: HttpRequest, pk: int) -> HttpResponse:
    """Register a one-job runner for this answer."""
    runner = _runner(request, pk)
    if not runner.ephemeral:
        raise InvalidRequest("This runner is persistent: ask for a registration.")
    try:
        with wiring.github_client(runner.scope) as github:
            jit = registrations.issue_jit(runner, github=github, now=wiring.now())
    except GitHubError as error:
        return _github_said_no(error)
    return _secret(ok(github_id=jit.github_id, encoded_jit_config=jit.encoded_jit_config))


@api_view("POST")
def registration(request: HttpRequest, pk: int) -> HttpResponse:
    """Mint a registration token for a persistent runner."""
    runner = _runner(request, pk)
    if runner.ephemeral:
        raise InvalidRequest("This runner is ephemeral: ask for a JIT config.")
    try:
        with wiring.github_client(runner.scope) as github:
            made = registrations.issue_registration(runner, github=github, now=wiring.now())
    except GitHubError as error:
        return _github_said_no(error)
    return _secret(
        ok(
            url=made.url,
            token=made.token,
            expires_at=made.expires_at,
            name=runner.name,
            labels=list(made.labels),
            runner_group=made.runner_group,
            ephemeral=False,
            work_folder=runner.work_folder,
        )
    )


@api_view("POST")
def log(request: HttpRequest, pk: int) -> HttpResponse:
    """Keep the newest output of a runner's process."""
    host = beats.authenticate(_bearer(request))
    log_context.add(host=host.name, runner_id=pk)
    data = json_body(request, limit=LOG_LIMIT_BYTES)
    offset, text = integer(data, "offset", high=LARGEST_OFFSET), data.get("text")
    if offset is None:
        raise InvalidRequest("offset is missing: it must be a number of characters.")
    if not isinstance(text, str):
        raise InvalidRequest("text is missing.")
    runner = Runner.objects.filter(pk=pk, host=host).first()
    if runner is None:
        return refused(["This host has no such runner."], 404)
    return ok(offset=runner_log.append(runner, offset=offset, text=text, now=wiring.now()))


@api_view("POST")
def speed(request: HttpRequest) -> StreamingHttpResponse:
    """Send an agent bytes to measure its network by; it hangs up when it knows enough."""
    beats.authenticate(_bearer(request))
    # The same random bytes again and again: nothing on the way can make them fewer
    piece = secrets.token_bytes(SPEED_PIECE_BYTES)
    answer = StreamingHttpResponse(
        (piece for _ in range(SPEED_PIECES)), content_type="application/octet-stream"
    )
    answer["Content-Length"] = str(SPEED_PIECES * SPEED_PIECE_BYTES)
    answer["Cache-Control"] = "no-store"
    return answer


def _bearer(request: HttpRequest) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token.strip():
        raise NotPermitted("Send the agent token as Authorization: Bearer ….")
    return token.strip()


def _runner(request: HttpRequest, pk: int) -> Runner:
    host: Host = beats.authenticate(_bearer(request))
    log_context.add(host=host.name, runner_id=pk)
    return registrations.startable_runner(host, pk)


def _secret(answer: HttpResponse) -> HttpResponse:
    """Let nothing on the way keep the answer."""
    answer["Cache-Control"] = "no-store"
    return answer


def _github_said_no(error: GitHubError) -> HttpResponse:
    if isinstance(error, RateLimited):
        wait = max(1, int((error.retry_at - wiring.now()).total_seconds()))
        return refused([error.user_message], 503, retry_after_seconds=wait)
    if isinstance(error, GitHubUnavailable):
        return refused([error.user_message], 503, retry_after_seconds=5)
    return refused([error.user_message], 502)


def _wanted(entry: beats.WantedRunner) -> dict[str, object]:
    package = entry.package
    return {
        "runner_id": entry.runner_id,
        "name": entry.name,
        "slot": entry.slot,
        "wanted": "stop" if entry.stop else "run",
        "force": entry.force,
        "mode": "jit" if entry.ephemeral else "persistent",
        "work_folder": entry.work_folder,
        "gpu": entry.gpu,
        "emulates": entry.emulates,
        "limits": {
            "cpu_cores": entry.limits.cpu_cores,
            "memory_bytes": entry.limits.memory_bytes,
        },
        "package": None
        if package is None
        else {
            "version": package.version,
            "os": package.os,
            "architecture": package.architecture,
            "filename": package.filename,
            "url": package.url,
            "sha256": package.sha256,
        },
    }
