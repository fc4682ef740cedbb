"""The product's addresses, one name each."""

from django.contrib.auth.views import LoginView, LogoutView, PasswordResetConfirmView
from django.urls import include, path, reverse_lazy

from runners import members as fleet_members
from runners.views import (
    countdowns,
    coverage,
    credentials,
    decisions,
    deliveries,
    doctor,
    drift,
    events,
    fleet,
    health,
    history,
    host_bulk,
    hosts,
    jobs,
    maintenance,
    members,
    metrics,
    onboarding,
    pool_editor,
    pools,
    provision,
    queue,
    quiesce,
    reports,
    runners,
    scopes,
    settings,
    targets,
)

# /runners/<pk>/
runner = [
    path("", runners.runner_detail, name="runner-detail"),
    path("drain/", runners.runner_drain, name="runner-drain"),
    path("stop-drain/", runners.runner_stop_drain, name="runner-stop-drain"),
    path("release/", runners.runner_release, name="runner-release"),
    path("deregister/", runners.runner_deregister, name="runner-deregister"),
    path("labels/", runners.runner_labels, name="runner-labels"),
    path("log/", runners.runner_log, name="runner-log"),
]

# /hosts/<name>/
host = [
    path("", hosts.host_detail, name="host-detail"),
    path("cordon/", hosts.host_cordon, name="host-cordon"),
    path("uncordon/", hosts.host_uncordon, name="host-uncordon"),
    path("release/", hosts.host_release, name="host-release"),
    path("drain/", hosts.host_drain, name="host-drain"),
    path("slots/", hosts.host_slots, name="host-slots"),
    path("rotate-token/", hosts.host_rotate_token, name="host-rotate-token"),
    path("retire/", hosts.host_retire, name="host-retire"),
]

# /maintenance/
maintenance_round = [
    path("", maintenance.maintenance_list, name="maintenance-list"),
    path("new/", maintenance.maintenance_new, name="maintenance-new"),
    path("hosts/", host_bulk.host_bulk, name="host-bulk"),
    path("<int:pk>/", maintenance.maintenance_detail, name="maintenance-detail"),
    path("<int:pk>/pause/", maintenance.maintenance_pause, name="maintenance-pause"),
    path("<int:pk>/resume/", maintenance.maintenance_resume, name="maintenance-resume"),
    path("<int:pk>/stop/", maintenance.maintenance_stop, name="maintenance-stop"),
    path("turns/<int:pk>/done/", maintenance.maintenance_done, name="maintenance-done"),
    path("turns/<int:pk>/skip/", maintenance.maintenance_skip, name="maintenance-skip"),
]

# /drift/
drifts = [
    path("", drift.drift_list, name="drift-list"),
    path("fix/", drift.drift_fix, name="drift-fix"),
    path("auto/", drift.drift_auto, name="drift-auto"),
    path("ghosts/", drift.drift_ghosts, name="drift-ghosts"),
    path("<int:pk>/adopt/", drift.drift_adopt, name="drift-adopt"),
]

# /pools/<name>/
pool = [
    path("", pools.pool_detail, name="pool-detail"),
    path("edit/", pool_editor.pool_edit, name="pool-edit"),
    path("preview/", pool_editor.pool_preview, name="pool-preview"),
    path("more/", pools.pool_more, name="pool-more"),
    path("pause/", pools.pool_pause, name="pool-pause"),
    path("resume/", pools.pool_resume, name="pool-resume"),
    path("release/", pools.pool_release, name="pool-release"),
    path("remove/", pools.pool_remove, name="pool-remove"),
]

# /settings/scopes/
scope = [
    path("", scopes.scope_list, name="scope-list"),
    path("new/", scopes.scope_new, name="scope-new"),
    path("<int:pk>/", scopes.scope_detail, name="scope-detail"),
    path("<int:pk>/remove/", scopes.scope_remove, name="scope-remove"),
    path("<int:pk>/group/", scopes.scope_group, name="scope-group"),
    path("<int:pk>/webhook/", scopes.scope_webhook, name="scope-webhook"),
    path("<int:pk>/webhook/forget/", scopes.scope_webhook_forget, name="scope-webhook-forget"),
    path("<int:pk>/jobs/", scopes.scope_jobs, name="scope-jobs"),
    path("<int:pk>/webhook/remove/", scopes.scope_webhook_remove, name="scope-webhook-remove"),
]

# /settings/deliveries/
delivery = [
    path("", deliveries.delivery_list, name="delivery-list"),
    path("<int:pk>/", deliveries.delivery_detail, name="delivery-detail"),
    path("<int:pk>/redeliver/", deliveries.delivery_redeliver, name="delivery-redeliver"),
]

# /settings/credentials/
credential = [
    path("", credentials.credential_list, name="credential-list"),
    path("new/", credentials.credential_new, name="credential-new"),
    path("<int:pk>/replace/", credentials.credential_replace, name="credential-replace"),
    path("<int:pk>/check/", credentials.credential_check, name="credential-check"),
    path("<int:pk>/replace-by/", credentials.credential_replace_by, name="credential-replace-by"),
    path("<int:pk>/remove/", credentials.credential_remove, name="credential-remove"),
]

# /settings/codes/
code = [
    path("", settings.code_list, name="code-list"),
    path("<int:pk>/", onboarding.code_wait, name="code-wait"),
    path("<int:pk>/revoke/", settings.code_revoke, name="code-revoke"),
]

# /settings/members/
member = [
    path("", members.member_list, name="member-list"),
    path("new/", members.member_new, name="member-new"),
    path("<int:pk>/role/", members.member_role, name="member-role"),
    path("<int:pk>/link/", members.member_link, name="member-link"),
    path("<int:pk>/deactivate/", members.member_deactivate, name="member-deactivate"),
    path("<int:pk>/activate/", members.member_activate, name="member-activate"),
]

# /reports/
report = [
    path("", reports.report_month, name="report-month"),
    path("prices/", reports.report_prices, name="report-prices"),
    path("prices/hosts/<slug:name>/", reports.report_host_price, name="report-host-price"),
    path("repositories/", reports.report_repository, name="report-repository"),
    path("history/", history.report_history, name="report-history"),
    path("targets/", targets.report_targets, name="report-targets"),
    path("targets/labels/", targets.report_target_labels, name="report-target-labels"),
    path("targets/pools/<slug:name>/", targets.report_target_pool, name="report-target-pool"),
    path("windows/new/", targets.report_window_new, name="report-window-new"),
    path(
        "windows/<int:pk>/call-off/", targets.report_window_call_off, name="report-window-call-off"
    ),
]

password_set = PasswordResetConfirmView.as_view(
    template_name="registration/password_set.html", success_url=reverse_lazy("login")
)

login = LoginView.as_view(
    redirect_authenticated_user=True,
    # Called when the page is written, each time anew.
    extra_context={"nobody_can_sign_in": fleet_members.nobody_can_sign_in},
)

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("metrics", metrics.metrics, name="metrics"),
    path("", include("runners.api.urls")),
    path("accounts/login/", login, name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("accounts/password/<uidb64>/<token>/", password_set, name="password-set"),
    path("", fleet.overview, name="overview"),
    path("setup/", onboarding.setup, name="setup"),
    path("setup/github/", onboarding.setup_github, name="setup-github"),
    path("runners/", runners.runner_list, name="runner-list"),
    path("runners/bulk/", runners.runner_bulk, name="runner-bulk"),
    path("runners/new/", provision.runner_provision, name="runner-provision"),
    path("runners/preview/", provision.runner_preview, name="runner-preview"),
    path("runners/<int:pk>/", include(runner)),
    path("hosts/", hosts.host_list, name="host-list"),
    path("hosts/new/", onboarding.host_new, name="host-new"),
    path("hosts/<slug:name>/", include(host)),
    path("maintenance/", include(maintenance_round)),
    path("drift/", include(drifts)),
    path("countdowns/", countdowns.countdown_list, name="countdown-list"),
    path("fleet/quiesce/", quiesce.fleet_quiesce, name="fleet-quiesce"),
    path("fleet/resume/", quiesce.fleet_resume, name="fleet-resume"),
    path("pools/", pools.pool_list, name="pool-list"),
    path("pools/new/", pool_editor.pool_new, name="pool-new"),
    path("pools/new/preview/", pool_editor.pool_new_preview, name="pool-new-preview"),
    path("pools/<slug:name>/", include(pool)),
    path("jobs/", jobs.job_list, name="job-list"),
    path("jobs/queue/", queue.job_queue, name="job-queue"),
    path("jobs/coverage/", coverage.label_coverage, name="label-coverage"),
    path("jobs/<int:pk>/", jobs.job_detail, name="job-detail"),
    path("reports/", include(report)),
    path("decisions/", decisions.decision_list, name="decision-list"),
    path("audit/", events.event_list, name="event-list"),
    path("doctor/", doctor.doctor_page, name="doctor"),
    path("settings/", settings.settings_index, name="settings"),
    path("settings/scopes/", include(scope)),
    path("settings/deliveries/", include(delivery)),
    path("settings/credentials/", include(credential)),
    path("settings/codes/", include(code)),
    path("settings/members/", include(member)),
    path("settings/environment/", settings.environment, name="environment"),
]
