"""The doctor's page: every check of this installation, the worst first, with its fix."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from runners import doctor
from runners.surroundings import surroundings
from runners.views.findings import rows, summary
from runners.views.guard import role_required
from runners.views.shared import FleetRequest


@role_required("operator")
@require_GET
def doctor_page(request: FleetRequest) -> HttpResponse:
    now = timezone.now()
    findings = doctor.examine(surroundings(), now=now)
    context = {
        "now": now,
        "rows": rows(findings),
        "summary": summary(findings),
    }
    return render(request, "settings/doctor.html", context)
