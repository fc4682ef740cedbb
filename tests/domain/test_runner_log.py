"""The last output of a runner: by offset, bounded, safe to tell twice."""

import random

import pytest

from runners import runner_log
from runners.models import RunnerLog
from runners.runner_log import CHUNK_LIMIT, KEEP_CHARACTERS
from tests.factories import NOW, RunnerFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def runner():
    return RunnerFactory()


def append(runner, offset, text):
    return runner_log.append(runner, offset=offset, text=text, now=NOW)


def kept():
    return RunnerLog.objects.get()


def test_chunks_join_at_their_offsets(runner):
    assert append(runner, 0, "√ Connected\n") == 12
    assert append(runner, 12, "Listening\n") == 22

    assert (kept().text, kept().offset, kept().updated_at) == ("√ Connected\nListening\n", 22, NOW)


def test_chunk_told_again_changes_nothing(runner):
    append(runner, 0, "one two")

    assert append(runner, 0, "one two") == 7
    assert append(runner, 0, "one") == 7
    assert kept().text == "one two"


def test_overlap_is_written_once(runner):
    append(runner, 0, "one two")

    assert append(runner, 4, "two three") == 13
    assert kept().text == "one two three"


def test_gap_is_marked(runner):
    append(runner, 0, "one")

    assert append(runner, 10, "two") == 13
    assert kept().text == "one\n… 7 characters left out …\ntwo"


def test_log_that_begins_late_has_no_gap_to_mark(runner):
    assert append(runner, 1000, "late") == 1004
    assert kept().text == "late"


def test_empty_chunk_tells_where_to_go_on(runner):
    assert append(runner, 0, "") == 0
    append(runner, 0, "abc")
    assert append(runner, 0, "") == 3


def test_only_the_end_of_a_long_log_is_kept(runner):
    offset = 0
    for number in range(10):
        offset = append(runner, offset, f"{number}" * CHUNK_LIMIT)

    assert (len(kept().text), kept().offset) == (KEEP_CHARACTERS, 10 * CHUNK_LIMIT)
    assert kept().text == "".join(f"{n}" * CHUNK_LIMIT for n in range(6, 10))


def test_chunk_over_the_limit_is_taken_in_part_and_the_rest_asked_for(runner):
    text = "x" * CHUNK_LIMIT + "rest"

    offset = append(runner, 0, text)
    assert offset == CHUNK_LIMIT
    append(runner, offset, text[offset:])

    assert kept().text.endswith("xrest")


def test_unprintable_output_never_holds_up_the_offset(runner):
    text = "a\x00\x00\ud800b"

    assert append(runner, 0, text) == len(text)
    assert kept().text == "a\ufffd\ufffd?b"


def test_pieces_told_in_any_way_make_the_same_log(runner):
    whole = "".join(random.Random(7).choices("abc\n√", k=2000))
    offset, dice = 0, random.Random(11)
    while offset < len(whole):
        begin = max(0, offset - dice.randrange(30))
        offset = append(runner, begin, whole[begin : begin + dice.randrange(1, 90)])

    assert kept().text == whole
