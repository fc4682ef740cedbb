"""The doctor's page: every check of this installation, the worst first, with its fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners import doctor
from runners.doctor import Finding, Verdict
from runners.surroundings import surroundings
from runners.views.guard import role_required
from runners.views.shared import FleetRequest

# Verdict → (state whose glyph and tone it shows, its word), the worst first.
_SHOWN: Final = {
    Verdict.BAD: ("critical", "Bad"),
    Verdict.WARN: ("warning", "Warning"),
    Verdict.UNKNOWN: ("lost", "Unknown"),
    Verdict.OK: ("success", "Good"),
}


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One check as the page shows it."""

    finding: Finding
    state: str
    word: str


@role_required("operator")
@require_GET
def doctor_page(request: FleetRequest) -> HttpResponse:
    now = timezone.now()
    order = list(_SHOWN)
    findings = sorted(
        doctor.examine(surroundings(), now=now), key=lambda each: order.index(each.verdict)
    )
    counts = {
        word: sum(each.verdict is verdict for each in findings)
        for verdict, (_, word) in _SHOWN.items()
    }
    context = {
        "now": now,
        "rows": [FindingRow(each, *_SHOWN[each.verdict]) for each in findings],
        "summary": ", ".join(f"{count} {word.lower()}" for word, count in counts.items() if count),
    }
    return render(request, "settings/doctor.html", context)
