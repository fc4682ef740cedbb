"""The kinds of drift: every one has its words, in the product and in the guide."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runners.drift_kinds import MEANINGS, SAFE, DriftKind

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guide" / "drift.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| \*\*[^|]+\*\* `([a-z-]+)` (\|.*)$", GUIDE, re.MULTILINE))


@pytest.mark.parametrize("kind", DriftKind)
def test_every_kind_has_a_meaning_and_a_fix_with_its_consequence(kind):
    words = MEANINGS[kind]

    assert all(text.endswith(".") for text in (words.meaning, words.consequence))
    assert words.fix
    assert not words.fix.endswith(".")


@pytest.mark.parametrize("kind", DriftKind)
def test_the_guide_tells_every_kind_with_its_fix_and_whether_it_mends_itself(kind):
    assert MEANINGS[kind].fix in ROWS[kind.value]
    assert ("*By itself" in ROWS[kind.value]) == (kind in SAFE)


def test_the_guide_tells_no_kind_that_does_not_exist():
    assert set(ROWS) == set(DriftKind.values)


def test_nothing_that_may_end_a_job_mends_itself():
    risky = {DriftKind.UNKNOWN_PROCESS, DriftKind.DUPLICATE_NAME, DriftKind.FOREIGN}

    assert not risky & set(SAFE)
