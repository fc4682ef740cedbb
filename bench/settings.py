"""The product's settings with the benchmarks' own routes beside the product's."""

from fleetui.settings import *  # noqa: F403 - a settings module is its names

ROOT_URLCONF = "bench.urls"
