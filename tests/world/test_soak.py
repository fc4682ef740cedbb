"""Six virtual hours of a small fleet with every kind of fault and nobody at the keyboard."""

import pytest

from tests.world import soak
from tests.world.faults import STRIKES


@pytest.mark.timeout(900)
@pytest.mark.django_db(transaction=True)
def test_a_rough_day_ends_with_every_job_accounted_for_and_nothing_left_over():
    report = soak.run(soak.SMALL)
    assert report.broken == [], str(report)
    assert (report.ghosts, report.operator_actions) == (0, 0)
    assert set(report.faults) == set(STRIKES)
