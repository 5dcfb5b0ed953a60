"""The app of people."""

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate

from accounts import guarding, triggers


class AccountsConfig(AppConfig):
    """Users, organisations, second factor, events and e-mail to people."""

    name = "accounts"
    verbose_name = "People"

    def ready(self) -> None:
        """Events are guarded as soon as there is a table of them."""
        post_migrate.connect(guarding.hold, sender=self)
        connection_created.connect(triggers.tell)
