"""Where addresses begin: the product's own, and Django admin for auditors."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("", include("runners.urls")),
]
