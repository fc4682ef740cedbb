"""Where runners register: a scope at GitHub and the credential that speaks for it."""

from __future__ import annotations

from django.db import models
from django.urls import reverse


class Credential(models.Model):
    """A personal access token or a GitHub App key, encrypted; the key is not in the database."""

    class Kind(models.TextChoices):
        TOKEN = "token", "Personal access token"
        APP = "app", "GitHub App"

    name = models.CharField(max_length=100, unique=True)
    kind = models.CharField(max_length=10, choices=Kind.choices)
    api_url = models.URLField(
        default="https://api.github.com",
        help_text="https://api.github.com, or https://HOST/api/v3 for GitHub Enterprise Server.",
    )
    secret_encrypted = models.TextField(editable=False)
    secret_hint = models.CharField(max_length=20, blank=True, default="")
    app_id = models.CharField(max_length=60, blank=True, default="")
    installation_id = models.PositiveBigIntegerField(null=True, blank=True)
    # Told by GitHub, written by credentials.check
    verdict = models.CharField(max_length=40, blank=True, default="")
    verdict_message = models.TextField(blank=True, default="")
    verdict_fix = models.TextField(blank=True, default="")
    verdict_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    # The API budget, as the last answer's headers told it
    budget_limit = models.PositiveIntegerField(null=True, blank=True)
    budget_remaining = models.PositiveIntegerField(null=True, blank=True)
    budget_reset_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(kind__in=["token", "app"]), name="credential_kind_known"
            ),
        )

    def __str__(self) -> str:
        return self.name


class Scope(models.Model):
    """A repository, organization or enterprise that owns runners."""

    class Kind(models.TextChoices):
        REPOSITORY = "repository", "Repository"
        ORGANIZATION = "organization", "Organization"
        ENTERPRISE = "enterprise", "Enterprise"

    class JobSource(models.TextChoices):
        INSTALLATION = "", "As the installation"
        BOTH = "both", "Webhook and polling"
        WEBHOOK = "webhook", "Webhook alone"
        POLLING = "polling", "Polling alone"

    kind = models.CharField(max_length=20, choices=Kind.choices)
    slug = models.CharField(
        max_length=200, help_text="owner/repository, organization, or enterprise"
    )
    web_url = models.URLField(
        help_text="The address config.sh takes, such as https://github.com/acme."
    )
    credential = models.ForeignKey(Credential, on_delete=models.PROTECT, related_name="scopes")
    runner_group_id = models.PositiveBigIntegerField(default=1)
    runner_group_name = models.CharField(max_length=100, blank=True, default="Default")
    job_source = models.CharField(
        max_length=10, choices=JobSource.choices, blank=True, default=JobSource.INSTALLATION
    )
    webhook_secret_encrypted = models.TextField(blank=True, default="", editable=False)
    # The secret before, taken as well until then, so that replacing it loses no delivery
    webhook_secret_previous_encrypted = models.TextField(blank=True, default="", editable=False)
    webhook_secret_previous_until = models.DateTimeField(null=True, blank=True)
    # Told by deliveries: the hook's number, its last ping, its end, and what is wrong with it
    webhook_hook_id = models.CharField(max_length=40, blank=True, default="")
    webhook_pinged_at = models.DateTimeField(null=True, blank=True)
    webhook_deleted_at = models.DateTimeField(null=True, blank=True)
    webhook_problem = models.CharField(max_length=200, blank=True, default="")
    # When a delivery was last refused for its signature
    webhook_refused_at = models.DateTimeField(null=True, blank=True)
    # Told by GitHub, written by reconcile
    github_seen_at = models.DateTimeField(null=True, blank=True)
    github_unknown_since = models.DateTimeField(null=True, blank=True)
    # When GitHub last answered again after it had been unknown: deadlines start anew from there
    github_back_at = models.DateTimeField(null=True, blank=True)
    github_error = models.TextField(blank=True, default="")
    foreign_runners = models.PositiveIntegerField(default=0)
    reconcile_wanted = models.BooleanField(
        default=False, help_text="A pass is queued and has not begun; asking again changes nothing."
    )
    reconciled_at = models.DateTimeField(null=True, blank=True)
    # The last look, the oldest look at a repository, what cut a look short
    jobs_polled_at = models.DateTimeField(null=True, blank=True)
    jobs_swept_at = models.DateTimeField(null=True, blank=True)
    jobs_problem = models.TextField(blank=True, default="")
    repositories_listed_at = models.DateTimeField(null=True, blank=True)
    deliveries_wanted = models.BooleanField(
        default=False, help_text="Taking deliveries in is queued and has not begun."
    )
    # The last look for deliveries that were lost, and why there was none
    deliveries_checked_at = models.DateTimeField(null=True, blank=True)
    deliveries_problem = models.TextField(blank=True, default="")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ("slug",)
        constraints = (
            models.UniqueConstraint(fields=("web_url",), name="scope_web_url_unique"),
            models.CheckConstraint(
                condition=models.Q(kind__in=["repository", "organization", "enterprise"]),
                name="scope_kind_known",
            ),
            models.CheckConstraint(
                condition=models.Q(job_source__in=["", "both", "webhook", "polling"]),
                name="scope_job_source_known",
            ),
        )

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("scope-detail", args=[self.pk])


class RunnerPackage(models.Model):
    """A runner application download as GitHub offers it to one scope, with the digest hosts
    check."""

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, related_name="packages")
    os = models.CharField(max_length=20)
    architecture = models.CharField(max_length=20)
    version = models.CharField(max_length=40)
    version_since = models.DateTimeField(null=True, blank=True)
    filename = models.CharField(max_length=200)
    download_url = models.URLField(max_length=1000)
    sha256 = models.CharField(max_length=64)
    seen_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=("scope", "os", "architecture"), name="runner_package_platform_unique"
            ),
        )

    def __str__(self) -> str:
        return self.filename
