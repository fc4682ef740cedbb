"""The product's addresses, one name each."""

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path

from runners.views import fleet, health, runners

# /runners/<pk>/
runner = [
    path("", runners.runner_detail, name="runner-detail"),
    path("drain/", runners.runner_drain, name="runner-drain"),
    path("stop-drain/", runners.runner_stop_drain, name="runner-stop-drain"),
    path("deregister/", runners.runner_deregister, name="runner-deregister"),
    path("labels/", runners.runner_labels, name="runner-labels"),
    path("log/", runners.runner_log, name="runner-log"),
]

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", include("runners.api.urls")),
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("", fleet.overview, name="overview"),
    path("runners/", runners.runner_list, name="runner-list"),
    path("runners/bulk/", runners.runner_bulk, name="runner-bulk"),
    path("runners/<int:pk>/", include(runner)),
]
