"""The two pipes between listener and worker: one JSON object a line, each way.

The job, with the secret to report it, travels here and not in arguments or environment.
Listener to worker: `job`, `shutdown`. Worker to listener: `running`.
"""

import json
import os
from collections.abc import Mapping

READ_BYTES = 65536


class Closed(Exception):
    """The other side is gone."""


class Channel:
    """One end: a descriptor to read and a descriptor to write."""

    def __init__(self, reading: int, writing: int) -> None:
        """Take both descriptors over."""
        self.reading = reading
        self._writing = writing
        self._partial = b""

    def send(self, message: Mapping[str, object]) -> None:
        """Write one message; raises Closed when nobody reads."""
        rest = json.dumps(message).encode("utf-8") + b"\n"
        try:
            while rest:
                rest = rest[os.write(self._writing, rest) :]
        except OSError as err:
            raise Closed from err

    def receive(self) -> list[dict[str, object]]:
        """Read what is there (call when readable); raises Closed at the end of the pipe."""
        chunk = os.read(self.reading, READ_BYTES)
        if not chunk:
            raise Closed
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        return [dict(json.loads(line)) for line in lines]

    def receive_one(self) -> dict[str, object]:
        """Block until one message is whole; raises Closed at the end of the pipe."""
        while True:
            messages = self.receive()
            if messages:
                return messages[0]

    def close(self) -> None:
        """Close both descriptors."""
        os.close(self.reading)
        os.close(self._writing)
