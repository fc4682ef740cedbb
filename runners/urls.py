"""The product's addresses, one name each."""

from django.urls import path

from runners.views import health

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
]
