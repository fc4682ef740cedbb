"""The product's addresses, one name each."""

from django.urls import include, path

from runners.views import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("", include("runners.api.urls")),
]
