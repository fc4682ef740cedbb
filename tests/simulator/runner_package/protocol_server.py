"""A server of the runner protocol for these tests alone: one runner, a list of jobs, its reports.

It remembers every request, so that a test can say what the runner told it and what it did not.
"""

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

SECRET = "runner-secret-5a1f"
REGISTRATION_TOKEN = "registration-token-77c0"
REMOVE_TOKEN = "remove-token-91be"
POLL_LOOK_SECONDS = 0.02


@dataclass
class Book:
    """What the server hands out and what it was told. Guarded by `lock`."""

    jobs: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    acquired: list[str] = field(default_factory=list)
    log: dict[str, list[str]] = field(default_factory=dict)
    completed: dict[str, dict[str, Any]] = field(default_factory=dict)
    sessions_opened: int = 0
    sessions_closed: int = 0
    cancel: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    registrations: list[dict[str, Any]] = field(default_factory=list)
    removals: list[dict[str, Any]] = field(default_factory=list)
    register_answer: tuple[int, dict[str, Any]] | None = None
    session_answer: tuple[int, dict[str, Any]] | None = None
    message_answer: tuple[int, dict[str, Any]] | None = None
    renew_answer: tuple[int, dict[str, Any]] | None = None
    refuse_connections: bool = False


class ProtocolServer:
    """The server in a thread; use as a context."""

    def __init__(self) -> None:
        """Bind a free port of the loopback interface."""
        self.book = Book()
        self.lock = threading.Lock()
        book, lock = self.book, self.lock

        class Handler(_Handler):
            pass

        Handler.book, Handler.lock = book, lock
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        Handler.url = self.url
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    def __enter__(self) -> "ProtocolServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def add_job(self, *scripts: str, **fields: Any) -> str:
        """Queue a job whose steps run these scripts; answers its id."""
        with self.lock:
            job_id = str(100 + len(self.book.jobs) + len(self.book.acquired))
            self.book.jobs.append(
                {
                    "id": job_id,
                    "run_id": 7,
                    "run_attempt": 1,
                    "name": f"job-{job_id}",
                    "workflow_name": "CI",
                    "repository": "acme/widgets",
                    "sha": "0" * 40,
                    "ref": "refs/heads/main",
                    "steps": [
                        {"name": f"step {number}", "run": script}
                        for number, script in enumerate(scripts, start=1)
                    ],
                    "env": {},
                    "timeout_minutes": 5,
                    "misbehave": "",
                    **fields,
                }
            )
        return job_id

    def jit_config(self, **settings: Any) -> str:
        """An encoded JIT configuration for this server."""
        return jit_config(self.url, **settings)


def jit_config(server_url: str, **settings: Any) -> str:
    """An encoded JIT configuration of the runner `tester`."""
    runner = {
        "AgentId": "23",
        "AgentName": "tester",
        "PoolId": "1",
        "PoolName": "Default",
        "ServerUrl": server_url,
        "GitHubUrl": f"{server_url}/acme",
        "WorkFolder": "_work",
        "Ephemeral": "True",
        "DisableUpdate": "True",
        "UseV2Flow": "True",
        "ServerUrlV2": server_url,
        **settings,
    }
    credentials = {"Scheme": "OAuth", "Data": {"clientId": "c", "clientSecret": SECRET}}
    files = {".runner": runner, ".credentials": credentials, ".credentials_rsaparams": {"d": "x"}}
    encoded = {
        name: base64.b64encode(json.dumps(content).encode()).decode()
        for name, content in files.items()
    }
    return base64.b64encode(json.dumps(encoded).encode()).decode()


class _Handler(BaseHTTPRequestHandler):
    book: Book
    lock: threading.Lock
    url: str
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        self._answer(self._get(parse_qs(urlsplit(self.path).query)))

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"{}")
        with self.lock:
            self.book.bodies.append(body)
            answer = self._post(urlsplit(self.path).path.strip("/").split("/"), body)
        self._answer(answer)

    def do_DELETE(self) -> None:
        with self.lock:
            self.book.sessions_closed += 1
        self._answer((204, {}))

    def _answer(self, answer: tuple[int, dict[str, Any]]) -> None:
        status, body = answer
        with self.lock:
            self.book.requests.append((self.command, self.path))
            refuse = self.book.refuse_connections
        self.close_connection = True
        if refuse:
            return  # the connection ends without a word
        content = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except OSError:
            return  # the runner was stopped while it polled

    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {SECRET}"

    def _get(self, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if not self._authorised():
            return 401, {"message": "Bad credentials"}
        until = time.monotonic() + float(query.get("wait", ["0"])[0])
        while True:
            with self.lock:
                if self.book.message_answer is not None:
                    return self.book.message_answer
                if self.book.jobs and query["wait"] != ["0"]:
                    return 200, {"type": "job", "job": self.book.jobs[0]}
                if self.book.refuse_connections:
                    return 202, {}
            if time.monotonic() >= until:
                return 202, {}
            time.sleep(POLL_LOOK_SECONDS)

    def _post(self, path: list[str], body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if path[-1] == "register":
            return self._register(body)
        if path[-1] == "runner-registration":
            return self._remove(body)
        if path[-1] == "registration-token":
            return 201, {"token": REGISTRATION_TOKEN}
        if not self._authorised():
            return 401, {"message": "Bad credentials"}
        if path[-1] == "sessions":
            self.book.sessions_opened += 1
            return self.book.session_answer or (201, {"session_id": "s-1"})
        return self._report(path[-2], path[-1], body)

    def _register(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.headers.get("Authorization") != f"RemoteAuth {REGISTRATION_TOKEN}":
            return 401, {"message": "Invalid token"}
        self.book.registrations.append(body)
        granted = {
            "runner_id": 23,
            "pool_id": 1,
            "pool_name": "Default",
            "server_url": self.url,
            "client_id": "c",
            "client_secret": SECRET,
            "ephemeral": body["ephemeral"],
        }
        return self.book.register_answer or (201, granted)

    def _remove(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.headers.get("Authorization") != f"RemoteAuth {REMOVE_TOKEN}":
            return 401, {"message": "Invalid token"}
        self.book.removals.append(body)
        return 200, {}

    def _report(self, job: str, action: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.book.refuse_connections:
            return 500, {}  # nobody will hear it, so nothing happened
        if action == "renew" and self.book.renew_answer is not None:
            return self.book.renew_answer
        cancel = {"cancel": job in self.book.cancel}
        if action == "acquire":
            self.book.jobs = [each for each in self.book.jobs if each["id"] != job]
            if job in self.book.taken:
                return 409, {"message": "The job is taken"}
            self.book.acquired.append(job)
        elif action == "start":
            self.book.started.append(job)
        elif action == "log":
            self.book.log.setdefault(job, []).extend(body["lines"])
        elif action == "complete":
            self.book.completed[job] = body
        return 200, cancel
