"""Django admin for auditors: every table, to read. Nothing can be added, changed or deleted here.

Members are the exception: an admin may change them, and each change leaves its event. Columns that
hold secrets or their digests are left out everywhere.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone
from django_q.models import Failure, OrmQ, Schedule, Success

from runners import audit
from runners.access import Role, role_of
from runners.audit import Actor
from runners.models import (
    AnnouncedWindow,
    Beat,
    CostModel,
    Credential,
    Decision,
    Delivery,
    Drift,
    EnrolmentCode,
    Event,
    Fleet,
    Host,
    HostCost,
    Job,
    JobDay,
    Label,
    LabelTarget,
    Lease,
    Maintenance,
    MaintenanceHost,
    Outage,
    Pool,
    PoolSample,
    PoolTarget,
    Postmortem,
    QueuePicture,
    Repository,
    RepositoryPayer,
    Runner,
    RunnerLog,
    RunnerPackage,
    Sample,
    Scope,
)

admin.site.site_header = "Fleetui records"
admin.site.site_title = "Fleetui records"
admin.site.index_title = "Every table, to read"


def may_read(request: HttpRequest) -> bool:
    """Auditors and admins read; the site itself asks for `is_staff` besides."""
    return role_of(request.user) in (Role.AUDITOR, Role.ADMIN)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # not generic at run time
    """A table to look at, whoever looks; superusers too."""

    list_select_related = True
    list_per_page = 50
    # A count of the whole table is a scan of millions of rows for a number nobody reads
    show_full_result_count = False

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        if self.fields:
            return [str(name) for name in self.fields]
        left_out = {"id", *(self.exclude or ())}
        columns = (*self.opts.fields, *self.opts.many_to_many)
        return [column.name for column in columns if column.name not in left_out]

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_read(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_read(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The audit log."""

    list_display = ("at", "actor_name", "action", "object_kind", "object_name", "was", "became")
    list_filter = ("actor_kind", "object_kind", "action")
    search_fields = ("actor_name", "object_name", "action", "reason")
    date_hierarchy = "at"
    ordering = ("-at", "-pk")


@admin.register(Runner)
class RunnerAdmin(ReadOnlyAdmin):
    """Runners, the removed ones too."""

    list_display = (
        "name",
        "state",
        "phase",
        "github_status",
        "host",
        "pool",
        "scope",
        "created_at",
    )
    list_filter = ("state", "ephemeral", "github_status", "scope", "pool")
    search_fields = ("name", "host__name", "state_reason")
    date_hierarchy = "created_at"


@admin.register(Host)
class HostAdmin(ReadOnlyAdmin):
    """Hosts, the retired ones too."""

    list_display = ("name", "site", "architecture", "slots", "agent_version", "last_seen_at")
    list_filter = ("architecture", "site", "posing")
    search_fields = ("name", "hostname", "site", "owner")
    exclude = ("token_sha256", "next_token_sha256")


@admin.register(Credential)
class CredentialAdmin(ReadOnlyAdmin):
    """Credentials without their secrets."""

    list_display = ("name", "kind", "api_url", "verdict", "expires_at", "last_used_at")
    list_filter = ("kind", "verdict")
    search_fields = ("name",)
    exclude = ("secret_encrypted",)


@admin.register(Scope)
class ScopeAdmin(ReadOnlyAdmin):
    """Scopes without their webhooks' secrets."""

    list_display = ("slug", "kind", "credential", "github_seen_at", "github_unknown_since")
    list_filter = ("kind",)
    search_fields = ("slug", "web_url")
    exclude = ("webhook_secret_encrypted", "webhook_secret_previous_encrypted")


@admin.register(EnrolmentCode)
class EnrolmentCodeAdmin(ReadOnlyAdmin):
    """Enrolment codes without their digests."""

    list_display = ("prefix", "site", "created_by", "created_at", "used_at", "revoked_at", "host")
    search_fields = ("prefix", "host__name")
    exclude = ("sha256",)


@admin.register(Pool)
class PoolAdmin(ReadOnlyAdmin):
    """Pools."""

    list_display = ("name", "scope", "min_idle", "max_runners", "ephemeral", "paused_at")
    list_filter = ("scope", "ephemeral")
    search_fields = ("name", "owner")


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    """What the scaler decided."""

    list_display = ("at", "demand", "started", "stopped", "failed", "words")
    date_hierarchy = "at"


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """Workflow jobs."""

    list_display = ("repository", "name", "status", "conclusion", "runner_name", "queued_at")
    list_filter = ("status", "conclusion")
    search_fields = ("repository", "name", "runner_name")
    date_hierarchy = "queued_at"


@admin.register(JobDay)
class JobDayAdmin(ReadOnlyAdmin):
    """What each day of jobs adds up to."""

    list_display = ("day", "kind", "key", "jobs", "failed", "billed_minutes", "late")
    list_filter = ("kind",)
    date_hierarchy = "day"


@admin.register(CostModel)
class CostModelAdmin(ReadOnlyAdmin):
    """Rates."""

    list_display = ("per_kwh", "charge_per_minute", "prices_dated")


@admin.register(HostCost)
class HostCostAdmin(ReadOnlyAdmin):
    """What machines cost."""

    list_display = ("host", "purchase", "months", "watts_idle", "watts_busy", "rack_a_month")


@admin.register(RepositoryPayer)
class RepositoryPayerAdmin(ReadOnlyAdmin):
    """Who pays for repositories."""

    list_display = ("name", "team", "public")
    search_fields = ("name", "team")


@admin.register(PoolTarget)
class PoolTargetAdmin(ReadOnlyAdmin):
    """What each pool promises."""

    list_display = ("pool", "availability_percent", "zone", "opens", "closes", "watched_at")


@admin.register(LabelTarget)
class LabelTargetAdmin(ReadOnlyAdmin):
    """Queue targets of their own."""

    list_display = ("label_set", "percent", "seconds")


@admin.register(Outage)
class OutageAdmin(ReadOnlyAdmin):
    """When pools could not have started a job in time."""

    list_display = ("pool", "cause", "words", "began_at", "ended_at")
    list_filter = ("cause", "pool")


@admin.register(AnnouncedWindow)
class AnnouncedWindowAdmin(ReadOnlyAdmin):
    """Announced maintenance."""

    list_display = ("reason", "pool", "begins_at", "ends_at", "announced_at", "announced_by")


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Webhook deliveries."""

    list_display = ("guid", "event", "action", "scope", "received_at", "processed_at", "outcome")
    list_filter = ("event",)
    search_fields = ("guid", "outcome")
    date_hierarchy = "received_at"


@admin.register(Repository)
class RepositoryAdmin(ReadOnlyAdmin):
    """Repositories whose runs are looked at."""

    list_display = ("full_name", "scope", "looked_at", "confirmed_at", "active_at")
    search_fields = ("full_name",)


@admin.register(RunnerPackage)
class RunnerPackageAdmin(ReadOnlyAdmin):
    """Runner applications as GitHub offers them."""

    list_display = ("filename", "scope", "version", "seen_at")
    search_fields = ("filename", "version")


@admin.register(RunnerLog)
class RunnerLogAdmin(ReadOnlyAdmin):
    """The last output of runners."""

    list_display = ("runner", "offset", "updated_at")
    search_fields = ("runner__name",)


@admin.register(Sample)
class SampleAdmin(ReadOnlyAdmin):
    """Measurements of hosts."""

    list_display = ("host", "at", "cpu_percent", "memory_used_bytes", "disk_used_bytes")
    list_filter = ("host",)


@admin.register(PoolSample)
class PoolSampleAdmin(ReadOnlyAdmin):
    """What each pool had and was asked for."""

    list_display = ("pool", "at", "waiting", "starting", "idle", "busy")
    list_filter = ("pool",)


@admin.register(QueuePicture)
class QueuePictureAdmin(ReadOnlyAdmin):
    """What the last look at the queue found."""

    list_display = ("at", "digest")


@admin.register(Label)
class LabelAdmin(ReadOnlyAdmin):
    """Labels."""

    search_fields = ("name",)


@admin.register(Drift)
class DriftAdmin(ReadOnlyAdmin):
    """Where wanted, observed and GitHub do not agree now."""

    list_display = ("kind", "name", "scope", "host", "wanted", "observed", "github", "since")
    list_filter = ("kind", "scope")
    search_fields = ("name",)


@admin.register(Postmortem)
class PostmortemAdmin(ReadOnlyAdmin):
    """What failed runners left to learn from."""

    list_display = ("runner", "cause", "exit_code", "job_name", "at")
    list_filter = ("cause",)
    search_fields = ("runner__name", "job_name", "words")
    date_hierarchy = "at"


@admin.register(Maintenance)
class MaintenanceAdmin(ReadOnlyAdmin):
    """Rounds of rolling maintenance."""

    list_display = ("reason", "act", "percent_out", "state", "created_by", "created_at", "ended_at")
    list_filter = ("state",)
    search_fields = ("reason",)


@admin.register(MaintenanceHost)
class MaintenanceHostAdmin(ReadOnlyAdmin):
    """Hosts' turns in rounds of maintenance."""

    list_display = ("maintenance", "position", "host", "step", "step_at", "note")
    list_filter = ("step",)


@admin.register(Fleet)
class FleetAdmin(ReadOnlyAdmin):
    """What holds for the whole fleet."""

    list_display = ("owner_mark", "quiesced_at", "quiesced_reason")


@admin.register(Beat)
class BeatAdmin(ReadOnlyAdmin):
    """When each of our own processes was last known alive."""

    list_display = ("name", "at", "detail")


@admin.register(Lease)
class LeaseAdmin(ReadOnlyAdmin):
    """Who does alone what must be done by one."""

    list_display = ("name", "owner", "expires_at")


@admin.register(LogEntry)
class LogEntryAdmin(ReadOnlyAdmin):
    """What was changed in this admin itself."""

    list_display = ("action_time", "user", "content_type", "object_repr", "change_message")
    search_fields = ("object_repr", "change_message")
    date_hierarchy = "action_time"


# The queue registers its own tables so that they can be changed; here they are read.
for queue_table in (OrmQ, Success, Failure, Schedule):
    admin.site.unregister(queue_table)


@admin.register(Success, Failure)
class TaskAdmin(ReadOnlyAdmin):
    """Tasks that ended."""

    list_display = ("name", "func", "started", "stopped", "attempt_count", "success")
    search_fields = ("name", "func")
    fields = ("name", "func", "args", "started", "stopped", "attempt_count", "success", "result")


@admin.register(OrmQ)
class QueuedTaskAdmin(ReadOnlyAdmin):
    """Tasks that wait."""

    list_display = ("key", "name", "func", "lock")
    fields = ("key", "name", "func", "lock")


@admin.register(Schedule)
class ScheduleAdmin(ReadOnlyAdmin):
    """Tasks that come again."""

    list_display = ("name", "func", "schedule_type", "next_run")
    search_fields = ("name", "func")


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(ReadOnlyAdmin, GroupAdmin):
    """The groups that are the roles; what they may do is in the code, so they are read only."""

    fields = ("name",)


@admin.register(User)
class MemberAdmin(UserAdmin):  # type: ignore[type-arg]  # not generic at run time
    """Members: an admin changes them, an auditor reads them, nobody deletes one."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return may_read(request)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return may_read(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return role_of(request.user) is Role.ADMIN

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return role_of(request.user) is Role.ADMIN

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_exclude(self, request: HttpRequest, obj: Model | None = None) -> Any:
        # Read only, Django would show the hash itself
        return () if self.has_change_permission(request, obj) else ("password",)

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj):
            return fieldsets
        return [
            (title, {**options, "fields": [f for f in options["fields"] if f != "password"]})
            for title, options in fieldsets
        ]

    def log_addition(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        self._record(request, obj, "user.create")
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Model, message: Any) -> LogEntry:
        # A new password comes this way too, and by no other hook
        self._record(request, obj, "user.change")
        return super().log_change(request, obj, message)

    def _record(self, request: HttpRequest, obj: Model, action: str) -> None:
        by = Actor(Event.ActorKind.USER, request.user.get_username(), request.user.pk)
        audit.record(obj, action, by=by, at=timezone.now(), reason="In Django admin")
