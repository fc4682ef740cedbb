"""Sends webhooks from daemon threads, one per receiver so that a slow one holds up nobody else.

Each delivery is signed as GitHub signs, recorded, and can be sent again. What the payloads say is
the business of ``events``.
"""

from __future__ import annotations

import hashlib
import heapq
import hmac
import http.client
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Protocol
from urllib.parse import urlencode, urlsplit

from runners.simulator.clock import Clock
from runners.simulator.faults import FaultBook
from runners.simulator.model import Delivery
from runners.simulator.settings import Settings
from runners.simulator.store import Store

LONGEST_NAP_SECONDS = 0.2
# A delivery held back to arrive after its successor goes out after this long without one.
REORDER_PATIENCE_SECONDS = 30
STOP_PATIENCE_SECONDS = 2
BODY_KEPT_CHARACTERS = 10_000


@dataclass(frozen=True)
class Receiver:
    """Where deliveries of one hook go. ``hook_id`` is 0 for the hook of an App (``app_id``)."""

    hook_id: int
    app_id: int
    url: str
    secret: str
    content_type: str
    insecure_ssl: str
    target_type: str
    target_id: int


@dataclass(frozen=True)
class Message:
    """One event for one receiver; ``payload`` is the JSON text."""

    event: str
    action: str | None
    payload: str
    guid: str
    repository_id: int | None = None
    installation_id: int | None = None


def signatures(secret: str, body: bytes) -> dict[str, str]:
    """GitHub's two signature headers; none without a secret."""
    if not secret:
        return {}
    sha1 = hmac.new(secret.encode(), body, hashlib.sha1).hexdigest()
    sha256 = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"X-Hub-Signature": f"sha1={sha1}", "X-Hub-Signature-256": f"sha256={sha256}"}


class Lane(Protocol):
    """What carries deliveries to one receiver, in order of due moments (Unix seconds)."""

    def put(
        self, due: float, receiver: Receiver, delivery: Delivery, *, held: bool = False
    ) -> None:
        """Send at ``due``; ``held`` waits for the next delivery to go first, at most until then."""

    def stop(self) -> None:
        """Send nothing more."""


class Outbox:
    """Queues, sends and records deliveries. ``post`` is called under the world's lock.

    ``new_lane`` makes what carries deliveries to a receiver: a thread of its own unless given.
    """

    def __init__(
        self,
        clock: Clock,
        lock: threading.RLock,
        store: Store,
        settings: Settings,
        *,
        new_lane: Callable[[], Lane] | None = None,
    ) -> None:
        self.faults = FaultBook()
        self._clock = clock
        self._lock = lock
        self._store = store
        self._settings = settings
        self._new_lane = new_lane or (lambda: _Lane(clock, lock, store, settings))
        self._lanes: dict[tuple[int, int], Lane] = {}

    def post(self, receiver: Receiver, message: Message, *, redelivery: bool = False) -> Delivery:
        """Record a delivery and hand it to the receiver's thread, unless a fault says otherwise."""
        subject = f"{message.event}.{message.action}" if message.action else message.event
        fault = None if redelivery else self.faults.for_event(subject)
        kind = fault.kind if fault else ""
        delivery = self._record(receiver, message, redelivery=redelivery)
        if kind == "webhook_vanish":
            del self._store.deliveries[delivery.id]
            return delivery
        if kind == "webhook_drop":
            delivery.status = "failed to connect to host"
            return delivery
        lane = self._lane(receiver)
        now = self._clock.time()
        if kind == "webhook_reorder":
            lane.put(now + REORDER_PATIENCE_SECONDS, receiver, delivery, held=True)
            return delivery
        lane.put(now + (fault.seconds if fault else 0), receiver, delivery)
        if kind == "webhook_duplicate":
            lane.put(now, receiver, self._record(receiver, message, redelivery=False))
        return delivery

    def stop(self) -> None:
        """Stop the threads; what was not sent stays unsent."""
        for lane in self._lanes.values():
            lane.stop()

    def _lane(self, receiver: Receiver) -> Lane:
        key = (receiver.hook_id, receiver.app_id)
        if key not in self._lanes:
            self._lanes[key] = self._new_lane()
        return self._lanes[key]

    def _record(self, receiver: Receiver, message: Message, *, redelivery: bool) -> Delivery:
        now = self._clock.time()
        delivery = Delivery(
            id=self._store.new_id(),
            guid=message.guid,
            hook_id=receiver.hook_id,
            app_id=receiver.app_id,
            event=message.event,
            action=message.action,
            delivered_at=now,
            payload=message.payload,
            request_headers=_headers(receiver, message),
            redelivery=redelivery,
            repository_id=message.repository_id,
            installation_id=message.installation_id,
        )
        self._forget_old(now)
        self._store.deliveries[delivery.id] = delivery
        return delivery

    def _forget_old(self, now: float) -> None:
        deliveries = self._store.deliveries
        while deliveries:
            oldest = next(iter(deliveries.values()))
            fresh = oldest.delivered_at > now - self._settings.timings.delivery_kept_seconds
            if fresh and len(deliveries) < self._settings.deliveries_kept:
                return
            del deliveries[oldest.id]


def new_guid() -> str:
    """The GUID that all deliveries of one event share."""
    return str(uuid.uuid4())


def _headers(receiver: Receiver, message: Message) -> dict[str, str]:
    form = receiver.content_type == "form"
    return {
        "Accept": "*/*",
        "Content-Type": "application/x-www-form-urlencoded" if form else "application/json",
        "User-Agent": "GitHub-Hookshot/0simul8",
        "X-GitHub-Delivery": message.guid,
        "X-GitHub-Event": message.event,
        "X-GitHub-Hook-ID": str(receiver.hook_id or receiver.app_id),
        "X-GitHub-Hook-Installation-Target-ID": str(receiver.target_id),
        "X-GitHub-Hook-Installation-Target-Type": receiver.target_type,
    }


class _Lane:
    """The queue and the thread of one receiver. Sends in order of due moments."""

    def __init__(
        self, clock: Clock, lock: threading.RLock, store: Store, settings: Settings
    ) -> None:
        self._clock = clock
        self._world_lock = lock
        self._store = store
        self._settings = settings
        self._heap: list[tuple[float, int, Receiver, Delivery]] = []
        self._held: list[tuple[float, int, Receiver, Delivery]] = []
        self._order = count()
        self._guard = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="simulator-webhooks", daemon=True)
        self._thread.start()

    def put(
        self, due: float, receiver: Receiver, delivery: Delivery, *, held: bool = False
    ) -> None:
        with self._guard:
            item = (due, next(self._order), receiver, delivery)
            if held:
                self._held.append(item)
            else:
                heapq.heappush(self._heap, item)
                for _, _, late_receiver, late in self._held:
                    heapq.heappush(self._heap, (due, next(self._order), late_receiver, late))
                self._held.clear()
        self._wake.set()

    def stop(self) -> None:
        self._stopping = True
        self._wake.set()
        self._thread.join(STOP_PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self._stopping:
            item = self._next_due()
            if item is None:
                self._wake.wait(LONGEST_NAP_SECONDS)
                self._wake.clear()
            else:
                self._send(item[2], item[3])

    def _check_reach(self, receiver: Receiver) -> None:
        host = urlsplit(receiver.url).hostname or ""
        if not self._settings.webhooks_anywhere and not is_loopback(host):
            raise ConnectionRefusedError(host)

    def _next_due(self) -> tuple[float, int, Receiver, Delivery] | None:
        with self._guard:
            now = self._clock.time()
            while self._held and self._held[0][0] <= now:
                heapq.heappush(self._heap, self._held.pop(0))
            if self._heap and self._heap[0][0] <= now:
                return heapq.heappop(self._heap)
        return None

    def _send(self, receiver: Receiver, delivery: Delivery) -> None:
        body = delivery.payload.encode()
        if receiver.content_type == "form":
            body = urlencode({"payload": delivery.payload}).encode()
        headers = delivery.request_headers | signatures(receiver.secret, body)
        began = time.monotonic()
        try:
            self._check_reach(receiver)
            answer = _post(receiver, body, headers, self._settings.timings.delivery_timeout_seconds)
        except TimeoutError:
            answer = _Answer(0, "timed out", {}, "")
        except (OSError, http.client.HTTPException, ValueError):
            answer = _Answer(0, "failed to connect to host", {}, "")
        with self._world_lock:
            delivery.delivered_at = self._clock.time()
            delivery.duration_seconds = round(time.monotonic() - began, 3)
            delivery.request_headers = headers
            delivery.status = answer.status
            delivery.status_code = answer.code
            delivery.response_headers = answer.headers
            delivery.response_body = answer.body
            hook = self._store.hooks.get(receiver.hook_id)
            if hook is not None:
                hook.last_code = answer.code
                hook.last_status = "active" if answer.status == "OK" else "unused"


@dataclass(frozen=True)
class _Answer:
    code: int
    status: str
    headers: dict[str, str]
    body: str


LOOPBACK_HOSTS = ("localhost", "::1")


def is_loopback(host: str) -> bool:
    """True for an address of this machine itself."""
    return host in LOOPBACK_HOSTS or host.startswith("127.")


def _post(
    receiver: Receiver, body: bytes, headers: dict[str, str], timeout_seconds: float
) -> _Answer:
    parts = urlsplit(receiver.url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        if receiver.insecure_ssl == "1":
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        connection = http.client.HTTPSConnection(
            parts.hostname or "", parts.port, timeout=timeout_seconds, context=context
        )
    else:
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=timeout_seconds
        )
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        text = response.read(BODY_KEPT_CHARACTERS).decode(errors="replace")
        status = (
            "OK" if 200 <= response.status < 300 else f"Invalid HTTP Response: {response.status}"
        )
        return _Answer(response.status, status, dict(response.getheaders()), text)
    finally:
        connection.close()


def again(delivery: Delivery) -> Message:
    """The message of a recorded delivery, to be sent once more with the same GUID."""
    return Message(
        event=delivery.event,
        action=delivery.action,
        payload=delivery.payload,
        guid=delivery.guid,
        repository_id=delivery.repository_id,
        installation_id=delivery.installation_id,
    )
