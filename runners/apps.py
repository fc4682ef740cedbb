"""The dashboard's one Django application."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class RunnersConfig(AppConfig):
    name = "runners"
    verbose_name = "Fleet"

    def ready(self) -> None:
        # At import time neither models nor the settings that the system checks read are there yet.
        from django_q.signals import pre_execute

        from runners import access, checks, queue  # noqa: F401

        # After every migration and flush, so that the groups can't be missing
        post_migrate.connect(access.make_roles, sender=self)
        pre_execute.connect(queue.log_as_task)
