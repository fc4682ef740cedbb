"""A dashboard of a few lines: the agent protocol over loopback HTTP, scripted by the test.

It checks what every real one checks (token, shape) and remembers everything it was told.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import requests

from runners.simulator import Simulator
from runners.simulator.runner_package.build import build_package
from tests.agent.shapes import example

CODE = "fle_TESTCODE0001_" + "c" * 43
TOKEN = "fla_TESTTOKEN001_" + "t" * 43
VERSION = "2.336.0"

Answer = tuple[int, dict[str, Any]]


class Http(ThreadingHTTPServer):
    """The server; a client that dies in mid-request is no error of its."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what broke, unless the other side did."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Dashboard:
    """One dashboard; attributes are what it answers next and what it heard so far."""

    def __init__(self, github: Simulator | None = None) -> None:
        self.github = github
        self.lock = threading.RLock()
        self.token = TOKEN
        self.new_token: str | None = None
        self.next_seconds = 0.3
        self.want_facts = False
        self.clean: list[str] = []  # leftovers to be removed
        self.version = 1
        self.wanted: dict[int, dict[str, Any]] = {}
        self.answers: dict[str, Answer] = {}
        self.down = False
        self.clock_ahead_seconds = 0.0
        self.short_answers = False  # when the agent holds the present version
        self.enrolments: list[dict[str, Any]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.journal: dict[int, dict[str, Any]] = {}
        self.logs: dict[int, str] = {}
        self.requests: list[str] = []
        self.tokens_seen: list[str] = []
        self.secrets: list[str] = []
        self.files: dict[str, bytes] = {}
        self.file_requests: list[str] = []
        self.cut_files_at: int | None = None
        self.github_ids: dict[int, int] = {}
        dashboard = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                dashboard._serve_file(self)

            def do_POST(self) -> None:
                dashboard._serve(self)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(time.time() + dashboard.clock_ahead_seconds)

            def log_message(self, *_: object) -> None:
                return

        self.http = Http(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    # --- steering ---------------------------------------------------------------------------

    def want(self, runner_id: int, **fields: Any) -> dict[str, Any]:
        """Put a runner into the wanted set, or change it there."""
        with self.lock:
            if runner_id not in self.wanted and "package" not in fields:
                fields["package"] = self.package()
            entry = self.wanted.get(runner_id) or {
                "runner_id": runner_id,
                "name": f"forge-{runner_id:04d}",
                "slot": runner_id,
                "wanted": "run",
                "force": False,
                "mode": "jit",
                "work_folder": "_work",
            }
            self.wanted[runner_id] = entry | fields
            self.version += 1
            return self.wanted[runner_id]

    def unwant(self, runner_id: int) -> None:
        """Take a runner out of the wanted set."""
        with self.lock:
            del self.wanted[runner_id]
            self.version += 1

    def package(self, architecture: str = "x64") -> dict[str, str]:
        """Offer the stand-in runner package from this server."""
        built = build_package(VERSION, "linux", architecture)
        return self.offer(built.filename, built.content, built.sha256, architecture)

    def offer(
        self, filename: str, content: bytes, sha256: str, architecture: str = "x64"
    ) -> dict[str, str]:
        """Offer any bytes as a package."""
        self.files[f"/packages/{filename}"] = content
        return {
            "version": VERSION,
            "os": "linux",
            "architecture": architecture,
            "filename": filename,
            "url": f"{self.url}/packages/{filename}",
            "sha256": sha256,
        }

    # --- what was heard ---------------------------------------------------------------------

    def slot(self, runner_id: int) -> dict[str, Any]:
        """Return the slot of a runner as last told; {} when it was not."""
        with self.lock:
            slots = self.heartbeats[-1]["slots"] if self.heartbeats else []
            return next((slot for slot in slots if slot["runner_id"] == runner_id), {})

    def phase(self, runner_id: int) -> str:
        """Return a runner's last phase."""
        return str(self.slot(runner_id).get("phase", ""))

    def phases(self, runner_id: int) -> list[str]:
        """Return the phases of a runner in the order told, repetitions left out."""
        told: list[str] = []
        with self.lock:
            for body in self.heartbeats:
                for slot in body["slots"]:
                    if slot["runner_id"] == runner_id and told[-1:] != [slot["phase"]]:
                        told.append(slot["phase"])
        return told

    def kinds(self, runner_id: int | None = None) -> list[str]:
        """Return the kinds of journal entries in order, of one runner or of the agent."""
        with self.lock:
            entries = [entry for _, entry in sorted(self.journal.items())]
        return [entry["kind"] for entry in entries if entry["runner_id"] == runner_id]

    # --- serving ----------------------------------------------------------------------------

    def _serve_file(self, request: BaseHTTPRequestHandler) -> None:
        content = self.files.get(request.path)
        with self.lock:
            self.file_requests.append(request.path)
        request.send_response(200 if content is not None else 404)
        content = content or b""
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content[: self.cut_files_at])
        if self.cut_files_at is not None:
            request.close_connection = True

    def _serve(self, request: BaseHTTPRequestHandler) -> None:
        size = int(request.headers.get("Content-Length", "0"))
        content = request.rfile.read(size)
        if self.down or len(content) < size:  # or the agent died in the middle of it
            request.close_connection = True
            return
        body = json.loads(content)
        name = request.path.removeprefix("/api/agent/")
        with self.lock:
            self.requests.append(name)
        status, answer = self._answer(name, body, request.headers.get("Authorization", ""), size)
        if status >= 400:
            answer = {"ok": False, "status": status} | answer
        content = json.dumps(answer).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)

    def _answer(self, name: str, body: dict[str, Any], authorization: str, size: int) -> Answer:
        if name in self.answers:
            return self.answers[name]
        if name == "enrol":
            return self._enrol(body)
        with self.lock:
            sent = authorization.removeprefix("Bearer ")
            self.tokens_seen.append(sent)
            if sent not in (self.token, self.new_token):
                return 401, {"errors": ["This token is not known."]}
            if name == "heartbeat":
                if size > 16 * 1024:
                    return 413, {"errors": ["The heartbeat is over 16 KB."]}
                return self._heartbeat(body)
        _, runner_id, call = name.split("/")
        calls: dict[str, Callable[[int, dict[str, Any]], Answer]] = {
            "jit-config": self._jit_config,
            "registration": self._registration,
            "log": self._log,
        }
        return calls[call](int(runner_id), body)

    def _enrol(self, body: dict[str, Any]) -> Answer:
        if body["code"] != CODE:
            return 401, {"errors": ["This enrolment code is not known."]}
        with self.lock:
            self.enrolments.append(body)
        host = {"id": 1, "name": body["name"]}
        return 201, {"ok": True, "host": host, "token": self.token, "heartbeat_seconds": 1}

    def _heartbeat(self, body: dict[str, Any]) -> Answer:
        self.heartbeats.append(body)
        for entry in body["journal"]:
            self.journal.setdefault(entry["seq"], entry)
        if self.short_answers and body["wanted_version"] == self.version and not body["journal"]:
            short = example("heartbeat.unchanged.response.json")
            return 200, short | {"version": self.version, "next_seconds": self.next_seconds}
        answer = {
            "ok": True,
            "protocol": 1,
            "version": self.version,
            "journal_seq": max(self.journal, default=0),
            "next_seconds": self.next_seconds,
            "want_facts": self.want_facts,
            "wanted": list(self.wanted.values()),
        }
        if self.clean:
            answer["clean"] = list(self.clean)
        if self.new_token is not None:
            answer["token"] = self.new_token
        return 200, answer

    def _jit_config(self, runner_id: int, _: dict[str, Any]) -> Answer:
        labels = ["self-hosted", "linux", "x64", f"runner-{runner_id}"]
        made = self._ask_github(
            "generate-jitconfig",
            {"name": self.wanted[runner_id]["name"], "runner_group_id": 1, "labels": labels},
        )
        config = made["encoded_jit_config"]
        self.secrets.append(config)
        self.github_ids[runner_id] = made["runner"]["id"]
        return 200, {"ok": True, "github_id": made["runner"]["id"], "encoded_jit_config": config}

    def _registration(self, runner_id: int, _: dict[str, Any]) -> Answer:
        made = self._ask_github("registration-token", {})
        self.secrets.append(made["token"])
        assert self.github is not None
        return 200, {
            "ok": True,
            "url": f"{self.github.url}/acme",
            "token": made["token"],
            "expires_at": made["expires_at"],
            "name": self.wanted[runner_id]["name"],
            "labels": ["self-hosted", "linux", "x64", f"runner-{runner_id}"],
            "runner_group": "Default",
            "ephemeral": False,
            "work_folder": "_work",
        }

    def _ask_github(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        assert self.github is not None, "this dashboard has no GitHub"
        answer = requests.post(
            f"{self.github.api_url}/orgs/acme/actions/runners/{call}",
            json=body,
            headers={"Authorization": f"Bearer {self.github.token}", "User-Agent": "tests"},
            timeout=10,
        )
        assert answer.status_code == 201, answer.text
        return dict(answer.json())

    def _log(self, runner_id: int, body: dict[str, Any]) -> Answer:
        with self.lock:
            kept = self.logs.get(runner_id, "")
            new = body["text"][max(0, len(kept) - body["offset"]) :]
            kept = self.logs[runner_id] = kept + new
            return 200, {"ok": True, "offset": len(kept)}
