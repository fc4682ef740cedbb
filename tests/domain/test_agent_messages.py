"""Agent messages and host facts as typed values, from friendly and from hostile senders."""

import json
import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runners.agent_messages import (
    AGENT_CAUSES,
    JOURNAL_LIMIT,
    LEFTOVERS_LIMIT,
    LOG_TAIL_CHARACTERS,
    SLOTS_LIMIT,
    ProtocolTooOld,
    parse_enrol,
    parse_heartbeat,
    parse_sample,
    quiet_digest,
)
from runners.errors import InvalidRequest
from runners.failure import Cause
from runners.host_facts import Facts, apply_facts, parse_facts
from runners.models import Host
from runners.states import Phase
from runners.untrusted import LARGEST_INTEGER, clean, integer, moment, number, text
from tests.factories import HostFactory

AGENT = Path(__file__).parent.parent / "payloads" / "agent"
NOT_TEXT: list[object] = [None, 5, 1.5, True, [], {}, ["x"]]
NOT_NUMBERS: list[object] = [None, "5", True, [], {}, math.nan, math.inf, -math.inf, 10**400]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
FACT_NAMES = ["hostname", "os", "architecture", "cpu_count", "memory_bytes", "gpus", "emulated"]


def message(name):
    return json.loads((AGENT / f"{name}.request.json").read_text("utf-8"))


def a_slot(**said):
    return {"runner_id": 12, "phase": "listening", **said}


def beat(**said):
    return {"protocol": 1, "slots": [], **said}


@pytest.mark.parametrize(
    "name", ["heartbeat", "heartbeat.first", "heartbeat.quiet", "heartbeat.ended"]
)
def test_example_heartbeats_are_read(name):
    said = message(name)

    report = parse_heartbeat(said)

    assert [slot.runner_id for slot in report.slots] == [s["runner_id"] for s in said["slots"]]
    assert [entry.seq for entry in report.journal] == [e["seq"] for e in said["journal"]]
    assert report.wanted_version == said["wanted_version"]
    assert (report.facts is not None) == ("facts" in said)
    assert report.sample is not None


def test_example_enrolment_is_read_and_hides_its_code():
    said = message("enrol")

    asked = parse_enrol(said)

    assert (asked.name, asked.site, asked.slots) == ("forge-01", "eu-central", 4)
    assert asked.code == said["code"]
    assert said["code"] not in repr(asked)
    assert asked.facts.gpus[0]["model"] == "NVIDIA L4"
    assert (asked.facts.cpu_count, asked.facts.clock_skew_seconds) == (8, 0.2)


@pytest.mark.parametrize("name", ["code", "name", "facts", "protocol"])
@pytest.mark.parametrize("value", [None, "", "  ", 5.5, [], True])
def test_enrolment_that_lacks_something_names_it(name, value):
    said = message("enrol") | {name: value}
    if name == "facts" and value == []:
        said["facts"] = "none"

    with pytest.raises(InvalidRequest, match=name):
        parse_enrol(said)


@pytest.mark.parametrize("parse", [parse_enrol, parse_heartbeat])
def test_old_protocol_is_told_to_upgrade_and_a_newer_one_is_taken(parse):
    said = message("enrol") | message("heartbeat")

    with pytest.raises(ProtocolTooOld, match="upgrade"):
        parse(said | {"protocol": 0})
    assert parse(said | {"protocol": 2, "something_new": {"deep": []}})


@pytest.mark.parametrize(
    "said",
    [
        {"slots": None},
        {"slots": {}},
        {"slots": "all"},
        {"slots": [5]},
        {"slots": [{}]},
        {"slots": [{"runner_id": 12}]},
        {"slots": [a_slot(phase="")]},
        {"slots": [a_slot(phase="sleeping")]},
        {"slots": [a_slot(phase=["listening"])]},
        {"slots": [a_slot(runner_id="12")]},
        {"slots": [a_slot(runner_id=True)]},
        {"slots": [a_slot(runner_id=-1)]},
        {"slots": [a_slot(runner_id=2**63)]},
        {"journal": {}},
        {"journal": [5]},
        {"journal": [{"seq": 1, "at": "2026-11-23T12:00:00Z"}]},
        {"journal": [{"seq": 1, "kind": "adopted"}]},
        {"journal": [{"at": "2026-11-23T12:00:00Z", "kind": "adopted"}]},
        {"journal": [{"seq": 2**70, "at": "2026-11-23T12:00:00Z", "kind": "adopted"}]},
    ],
)
def test_heartbeat_that_cannot_be_understood_is_refused(said):
    with pytest.raises(InvalidRequest):
        parse_heartbeat(beat(**said))


def test_heartbeat_without_a_journal_sample_or_facts_is_taken():
    report = parse_heartbeat(beat(sample="none", facts="none"))

    assert (report.journal, report.sample, report.facts) == ((), None, None)
    assert (report.wanted_version, report.boot_id, report.at) == (None, "", None)


def test_more_slots_and_entries_than_any_host_has_are_left_out():
    entries = [
        {"seq": number, "at": "2026-11-23T12:00:00Z", "kind": "adopted", "detail": "no object"}
        for number in range(1, JOURNAL_LIMIT + 50)
    ]

    report = parse_heartbeat(beat(slots=[a_slot()] * (SLOTS_LIMIT + 50), journal=entries))

    assert (len(report.slots), len(report.journal)) == (SLOTS_LIMIT, JOURNAL_LIMIT)
    assert report.journal[0].detail == {}


def test_slot_of_wrong_types_reads_as_not_known():
    (slot,) = parse_heartbeat(
        beat(
            slots=[
                a_slot(
                    pid=2**40,
                    exit_code="1",
                    reason=7,
                    job="build",
                    process_started_at="yesterday",
                    runner_version=None,
                    cpu_percent=math.nan,
                    memory_bytes=-1,
                )
            ]
        )
    ).slots

    assert (slot.phase, slot.pid, slot.exit_code, slot.reason) == (Phase.LISTENING, None, None, "")
    assert (slot.job_name, slot.job_started_at, slot.process_started_at) == ("", None, None)
    assert (slot.runner_version, slot.cpu_percent, slot.memory_bytes) == ("", None, None)


def test_negative_exit_code_is_kept():
    (slot,) = parse_heartbeat(beat(slots=[a_slot(exit_code=-9)])).slots

    assert slot.exit_code == -9


def a_leftover(**said):
    return {"kind": "work-directory", "name": "77", **said}


def test_example_of_an_end_and_of_leftovers_is_read():
    report = parse_heartbeat(message("heartbeat.ended"))

    (slot,) = report.slots
    assert slot.end_facts
    assert report.leftovers
    assert (slot.cause, slot.log_tail) == ("oom", "2026-11-23 19:04:58Z: Running job: build\n")
    assert (slot.end_facts.cpu_percent, slot.end_facts.disk_free_bytes) == (97.5, 402_000_000_000)
    directory, process = report.leftovers
    assert (directory.kind, directory.name, directory.pid) == ("work-directory", "77", None)
    assert (process.kind, process.pid, process.bytes) == ("process", 4711, 96_468_992)
    assert process.since == datetime(2026, 11, 23, 17, 30, tzinfo=UTC)


def test_every_cause_an_agent_names_but_a_good_end_is_one_we_can_store():
    assert AGENT_CAUSES - {"finished"} <= set(Cause.values)


@pytest.mark.parametrize(
    ("said", "read"),
    [
        *[(cause, cause) for cause in sorted(AGENT_CAUSES)],
        ("", ""),
        (None, ""),
        (5, ""),
        (["oom"], ""),
        ("melted", "exit"),
        ("host-lost", "exit"),
        ("x" * 5000, "exit"),
    ],
)
def test_cause_is_one_we_know(said, read):
    (slot,) = parse_heartbeat(beat(slots=[a_slot(cause=said)])).slots

    assert slot.cause == read


def test_of_a_log_the_end_is_kept_and_can_be_stored():
    tail = "a\x00b\ud800" * 5000 + "the end"

    (slot,) = parse_heartbeat(beat(slots=[a_slot(log_tail=tail)])).slots

    assert len(slot.log_tail) == LOG_TAIL_CHARACTERS
    assert slot.log_tail.endswith("the end")
    assert "\x00" not in slot.log_tail
    assert slot.log_tail.encode("utf-8")


@pytest.mark.parametrize("said", [None, "none", [], 5])
def test_facts_at_the_end_that_are_no_object_read_as_not_told(said):
    (slot,) = parse_heartbeat(beat(slots=[a_slot(facts_at_end=said, log_tail=said)])).slots

    assert slot.end_facts is None


def test_facts_at_the_end_of_wrong_types_read_as_not_known():
    facts = {"cpu_percent": math.nan, "memory_used_bytes": -1, "disk_free_bytes": "much", "at": 5}

    (slot,) = parse_heartbeat(beat(slots=[a_slot(facts_at_end=facts)])).slots

    assert slot.end_facts
    assert (slot.end_facts.cpu_percent, slot.end_facts.memory_used_bytes) == (None, None)
    assert (slot.end_facts.disk_free_bytes, slot.end_facts.at) == (None, None)


@pytest.mark.parametrize("said", [{}, {"leftovers": None}, {"leftovers": "none"}])
def test_heartbeat_that_does_not_speak_of_leftovers_is_told_from_one_that_has_none(said):
    assert parse_heartbeat(beat(**said)).leftovers is None
    assert parse_heartbeat(beat(leftovers=[])).leftovers == ()


@pytest.mark.parametrize(
    "said",
    [
        5,
        {},
        a_leftover(name=""),
        a_leftover(name=" "),
        a_leftover(name=7),
        a_leftover(kind="disk"),
        a_leftover(kind=[]),
    ],
)
def test_leftover_without_a_name_or_known_kind_is_left_out(said):
    assert parse_heartbeat(beat(leftovers=[said])).leftovers == ()


def test_leftovers_are_bounded_in_number_and_size():
    said = a_leftover(name="\x00" * 5000, path="p" * 5000, pid=2**40, since="once", bytes=-1)

    leftovers = parse_heartbeat(beat(leftovers=[said] * (LEFTOVERS_LIMIT + 50))).leftovers

    assert leftovers
    assert len(leftovers) == LEFTOVERS_LIMIT
    assert (len(leftovers[0].name), len(leftovers[0].path)) == (200, 500)
    assert (leftovers[0].pid, leftovers[0].since, leftovers[0].bytes) == (None, None, None)


def test_news_of_a_cause_or_of_leftovers_is_not_quiet_and_a_measurement_is():
    quiet = quiet_digest(beat(slots=[a_slot()]))

    assert quiet_digest(beat(slots=[a_slot(cause="oom")])) != quiet
    assert quiet_digest(beat(slots=[a_slot()], leftovers=[])) != quiet
    assert quiet_digest(beat(slots=[a_slot()], leftovers=[a_leftover()])) != quiet
    assert quiet_digest(beat(slots=[a_slot(cpu_percent=5, facts_at_end={})])) == quiet


def test_sample_that_is_not_a_number_reads_as_nothing_used():
    sample = parse_sample({"cpu_percent": math.nan, "memory_used_bytes": 1e30, "load1": "high"})

    assert (sample.cpu_percent, sample.memory_used_bytes, sample.load1) == (0.0, 0, None)


@pytest.mark.parametrize("value", NOT_TEXT)
def test_what_is_no_text_reads_as_empty(value):
    assert text({"key": value}, "key", 10) == text({}, "key", 10) == ""


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_what_is_no_number_reads_as_not_known(value):
    assert number({"key": value}, "key") is None
    assert integer({"key": value}, "key") is None


@pytest.mark.parametrize(
    ("value", "kept"), [(0, 0), (5, 5), (-1, None), (LARGEST_INTEGER + 1, None)]
)
def test_integers_stay_within_their_columns(value, kept):
    assert integer({"key": value}, "key", high=LARGEST_INTEGER) == kept


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("2026-11-23T12:00:00Z", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-11-23T12:00:00.123456Z", datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-23T13:00:00+01:00", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-11-23T12:00:00", datetime(2026, 11, 23, 12, tzinfo=UTC)),
        ("2026-02-31T12:00:00Z", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("soon", None),
        ("", None),
        (1764000000, None),
        (None, None),
    ],
)
def test_moments_are_utc_or_not_known(value, kept):
    assert moment({"key": value}, "key") == kept


@given(st.text(alphabet=st.characters()) | st.sampled_from(["\x00", "a\ud800b", "\udfff", "🙂"]))
def test_cleaned_text_keeps_its_length_and_can_be_stored(said):
    kept = clean(said)

    assert len(kept) == len(said)
    assert "\x00" not in kept
    assert kept.encode("utf-8").decode("utf-8") == kept


@given(st.dictionaries(st.sampled_from(FACT_NAMES), JSON))
def test_whatever_a_host_says_of_itself_fits_its_columns(said):
    facts = parse_facts(said)

    host = HostFactory.build()
    names = apply_facts(host, facts)
    host.clean_fields(exclude={field.name for field in Host._meta.fields} - set(names))


@pytest.mark.django_db
def test_hostile_facts_can_be_stored():
    facts = parse_facts(
        {
            "hostname": "a\x00b\ud800" * 300,
            "os_version": "x" * 5000,
            "cpu_count": 2**40,
            "memory_bytes": 2**63,
            "clock_skew_seconds": math.inf,
            "boot_id": 7,
            "gpus": [{"vendor": "\x00", "memory_bytes": -5}, "card"] * 100,
            "emulated": "yes",
            "unknown": {"deep": [1]},
        }
    )
    host = HostFactory()
    apply_facts(host, facts)
    host.save()

    row = Host.objects.get()
    assert (len(row.hostname), len(row.os_version)) == (253, 100)
    assert (row.cpu_count, row.memory_bytes, row.clock_skew_seconds) == (None, None, None)
    assert (len(row.gpus), row.gpus[0]["memory_bytes"], row.emulated) == (32, None, False)


def test_same_facts_have_the_same_digest_and_others_another():
    host = HostFactory.build()
    digests = []
    for facts in (Facts(cpu_count=8), Facts(cpu_count=8), Facts(cpu_count=4)):
        apply_facts(host, facts)
        digests.append(host.facts_digest)

    assert digests[0] == digests[1] != digests[2]
