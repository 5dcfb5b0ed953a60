"""Whoever was staff could do everything, and goes on doing so as an operator.

Members get ids of their own. Whoever was let in before they chose a password is asked by an
invitation from now on; the link of the letter they have goes on working.
"""

import uuid
from datetime import timedelta
from typing import Any

from django.db import migrations
from django.utils import timezone

_VALID_FOR = timedelta(days=14)
_UNUSABLE = "!"


def name_members(apps: Any, schema_editor: Any) -> None:
    Membership = apps.get_model("accounts", "Membership")
    unnamed = Membership.objects.filter(uuid=None).order_by("pk")
    while rows := list(unnamed[:1000]):
        for row in rows:
            row.uuid = uuid.uuid4()
        Membership.objects.bulk_update(rows, ["uuid"])


def appoint_operators(apps: Any, schema_editor: Any) -> None:
    Membership = apps.get_model("accounts", "Membership")
    Organisation = apps.get_model("accounts", "Organisation")
    User = apps.get_model("accounts", "User")
    provider = Organisation.objects.filter(kind="provider").first()
    if provider is not None:
        at_provider = Membership.objects.filter(organisation=provider)
        User.objects.filter(pk__in=at_provider.values("user")).update(is_staff=True)
        at_provider.update(role="operator")
        others = User.objects.filter(is_staff=True).exclude(pk__in=at_provider.values("user"))
        Membership.objects.bulk_create(
            Membership(user=user, organisation=provider, role="operator", uuid=uuid.uuid4())
            for user in others
        )
    User.objects.filter(is_staff=True).update(is_superuser=True)


def ask_guests(apps: Any, schema_editor: Any) -> None:
    Invitation = apps.get_model("accounts", "Invitation")
    Membership = apps.get_model("accounts", "Membership")
    now = timezone.now()
    waiting = Membership.objects.filter(
        user__password__startswith=_UNUSABLE, user__is_active=True
    ).exclude(organisation__kind="provider")
    Invitation.objects.bulk_create(
        [
            Invitation(
                organisation=member.organisation,
                email=member.user.email,
                role=member.role,
                inviter=member.organisation.parent.name,
                invited_at=now,
                expires_at=now + _VALID_FOR,
            )
            for member in waiting.select_related("organisation__parent", "user").iterator()
        ],
        batch_size=1000,
    )


class Migration(migrations.Migration):
    dependencies = [
        ("accounts", "0017_invitations"),
    ]

    operations = [
        migrations.RunPython(name_members, migrations.RunPython.noop),
        migrations.RunPython(appoint_operators, migrations.RunPython.noop),
        migrations.RunPython(ask_guests, migrations.RunPython.noop),
    ]
