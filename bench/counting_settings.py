"""The product's settings, its queries and calls counted."""

from fleetui.settings import *  # noqa: F403 - a settings module is its names
from fleetui.settings import INSTALLED_APPS as PRODUCT_APPS

INSTALLED_APPS = [*PRODUCT_APPS, "bench.counting.Counting"]
