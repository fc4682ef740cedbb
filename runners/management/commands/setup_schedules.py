"""Write down the work that comes every hour or day; may be run again at any time.

Exit codes: 0 done, 5 database.
"""

from __future__ import annotations

from django.core.management.base import BaseCommand
from django_q.models import Schedule

from runners.management.cli import exit_codes

SCHEDULES = {
    "keep-house": ("runners.tasks.keep_house", Schedule.DAILY),
}


class Command(BaseCommand):
    help = "Create or update the schedules of recurring tasks and drop those we no longer have."

    def handle(self, *, verbosity: int, **options: object) -> None:
        with exit_codes():
            for name, (task, how_often) in SCHEDULES.items():
                Schedule.objects.update_or_create(
                    name=name, defaults={"func": task, "schedule_type": how_often, "repeats": -1}
                )
            ours = Schedule.objects.filter(func__startswith="runners.")
            ours.exclude(name__in=SCHEDULES).delete()
        if verbosity:
            self.stdout.write(f"{len(SCHEDULES)} schedules are set up")
