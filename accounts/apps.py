"""The app of people."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, organisations, second factor, events and e-mail to people."""

    name = "accounts"
    verbose_name = "People"
