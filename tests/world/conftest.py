"""Refusals and outages are the point here: what is logged of them would bury a failure's steps."""

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def quiet_logs() -> Iterator[None]:
    """Log nothing during a test."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
