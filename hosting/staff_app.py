"""Django's admin, with the site of the house."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class StaffPages(AdminConfig):
    """What `INSTALLED_APPS` names."""

    default_site = "hosting.staff_site.StaffSite"
