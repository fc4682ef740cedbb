"""The dashboard's one Django application."""

from django.apps import AppConfig


class RunnersConfig(AppConfig):
    name = "runners"
    verbose_name = "Fleet"

    def ready(self) -> None:
        # Registers the system checks; at import time the settings they read are not there yet.
        from runners import checks  # noqa: F401
