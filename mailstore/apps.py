"""The app of mail."""

from django.apps import AppConfig


class MailstoreConfig(AppConfig):
    """Domains, mailboxes, credentials, quotas and the mail server behind them."""

    name = "mailstore"
    verbose_name = "Mail"
