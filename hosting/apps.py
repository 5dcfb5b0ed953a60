"""The app that sells and shows."""

from importlib import import_module

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from hosting import settled
from hosting.celery import make_folders


class HostingConfig(AppConfig):
    """Plans, orders, pages and the staff's tools."""

    name = "hosting"
    verbose_name = "Hosting"

    def ready(self) -> None:
        """Whoever loads the house may send work to it."""
        make_folders()
        import_module("hosting.checks")
        post_migrate.connect(settled.hold, sender=self)
