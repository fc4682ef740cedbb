"""The last output of each runner's process: bounded, appended by offset, safe to tell twice."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from runners.models import Runner, RunnerLog
from runners.untrusted import clean

KEEP_CHARACTERS = 64 * 1024
CHUNK_LIMIT = 16 * 1024


def append(runner: Runner, *, offset: int, text: str, now: datetime) -> int:
    """Add `text`, which begins at `offset` characters of the whole output; return the next offset.

    A chunk told before is dropped; a gap (the agent rotated its file) is marked in the text.
    """
    text = clean(text[:CHUNK_LIMIT])
    with transaction.atomic():
        log, _ = RunnerLog.objects.select_for_update().get_or_create(
            runner=runner, defaults={"updated_at": now}
        )
        next_offset = offset + len(text)
        if next_offset <= log.offset:
            return log.offset
        if offset < log.offset:
            text = text[log.offset - offset :]
        elif offset > log.offset and log.text:
            text = f"\n… {offset - log.offset} characters left out …\n{text}"
        log.text = (log.text + text)[-KEEP_CHARACTERS:]
        log.offset = next_offset
        log.updated_at = now
        log.save(update_fields=["text", "offset", "updated_at"])
        return next_offset
