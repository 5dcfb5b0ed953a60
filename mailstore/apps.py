"""The app of mail."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate

from mailstore import settled


class MailstoreConfig(AppConfig):
    """Domains, mailboxes, credentials, quotas and the mail server behind them."""

    name = "mailstore"
    verbose_name = "Mail"

    def ready(self) -> None:
        """Holds and receipts are guarded as soon as there are tables of them."""
        post_migrate.connect(settled.hold, sender=self)
