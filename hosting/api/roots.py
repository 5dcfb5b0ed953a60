"""The API alone, below its prefix: what the OpenAPI document describes."""

from django.urls import include, path

urlpatterns = [path("api/v1/", include("hosting.api.urls", namespace="api"))]
