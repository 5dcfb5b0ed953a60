"""The app that sells and shows."""

from importlib import import_module

from django.apps import AppConfig

from hosting.celery import make_folders


class HostingConfig(AppConfig):
    """Plans, orders, pages and the staff's tools."""

    name = "hosting"
    verbose_name = "Hosting"

    def ready(self) -> None:
        """Whoever loads the house may send work to it."""
        make_folders()
        import_module("hosting.checks")
