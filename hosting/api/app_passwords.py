"""App passwords: one secret for one device of a mailbox, shown once."""

from __future__ import annotations

from uuid import UUID

from django.db.models import QuerySet
from rest_framework import serializers

from accounts.keys import MOST_NETWORKS
from hosting import public_ids
from hosting.api import devices
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Text
from hosting.api.listing import Listing
from hosting.api.loading import Things
from hosting.api.mailboxes import MAILBOX
from mailstore import credentials, holding
from mailstore.models import AppPassword, Mailbox


class ReachBody(Body):
    """By which protocols it may be used, and from which networks; none are everywhere."""

    protocols = serializers.ListField(
        child=serializers.ChoiceField(choices=devices.PROTOCOLS),
        required=False,
        min_length=1,
        max_length=2,
    )
    networks = serializers.ListField(
        child=Text(max_length=50), required=False, max_length=MOST_NETWORKS
    )


class AppPasswordBody(ReachBody):
    """The device that it is for, and how far it reaches."""

    label = Text(max_length=80)  # type: ignore[assignment]  # named like an attribute


def _of(mailbox: Mailbox) -> QuerySet[AppPassword]:
    return AppPassword.objects.filter(mailbox=mailbox).select_related(
        "mailbox__organisation__parent"
    )


APP_PASSWORD: Things[AppPassword] = Things(
    rows=lambda call, mailbox: _of(MAILBOX.load(call, mailbox)),
    lives_in=lambda password: password.mailbox.organisation,
    locks=AppPassword.objects.select_for_update(),
    document=lambda _call, password: devices.document(password),
)
APP_PASSWORDS: Listing[AppPassword] = Listing(
    shown=devices.documents, document=devices.AppPasswordDocument
)


def _locked(call: Call, password: UUID, mailbox: UUID) -> AppPassword:
    return APP_PASSWORD.locked(
        call, password, mailbox, first=lambda found: holding.lock(found.mailbox)
    )


class AppPasswords(Endpoint):
    """The app passwords of a mailbox."""

    @operation(
        name="list_app_passwords",
        scope="mailboxes:read",
        lists=APP_PASSWORDS,
    )
    def get(self, call: Call, *, mailbox: UUID) -> Answer:
        """List the app passwords of a mailbox, revoked ones as well."""
        return APP_PASSWORDS.page(call, _of(MAILBOX.load(call, mailbox)))

    @operation(
        name="create_app_password",
        scope="passwords:write",
        takes=AppPasswordBody,
        gives=devices.NewAppPasswordDocument,
        status=201,
    )
    def post(self, call: Call, *, mailbox: UUID) -> Answer:
        """Make an app password. The secret is in this answer and nowhere else."""
        protocols = call.asked.get("protocols", devices.PROTOCOLS)
        issued = credentials.issue(
            actor=call.actor,
            mailbox=MAILBOX.locked(call, mailbox),
            label=call.asked["label"],
            allows_pop="pop" in protocols,
            allows_imap="imap" in protocols,
            networks=call.asked.get("networks", ()),
            at=call.at,
        )
        return APP_PASSWORD.created(
            call,
            issued.app_password,
            below=f"mailboxes/{public_ids.encode('mbx', mailbox)}/app-passwords",
            more={"secret": issued.secret},
        )


class OneAppPassword(Endpoint):
    """One app password."""

    @operation(name="get_app_password", scope="mailboxes:read", gives=devices.AppPasswordDocument)
    def get(self, call: Call, *, mailbox: UUID, password: UUID) -> Answer:
        """Show an app password."""
        return APP_PASSWORD.answer(call, APP_PASSWORD.load(call, password, mailbox))

    @operation(
        name="update_app_password",
        scope="passwords:write",
        takes=ReachBody,
        gives=devices.AppPasswordDocument,
        problems=("wrong-state",),
    )
    def patch(self, call: Call, *, mailbox: UUID, password: UUID) -> Answer:
        """Change by which protocols, and from where, an app password may be used.

        What becomes narrower ends open sessions; what becomes wider is told to the owners.
        """
        found = _locked(call, password, mailbox)
        former = credentials.Reach.of(found)
        protocols = call.asked.get("protocols")
        credentials.set_reach(
            actor=call.actor,
            app_password=found,
            allows_pop=former.allows_pop if protocols is None else "pop" in protocols,
            allows_imap=former.allows_imap if protocols is None else "imap" in protocols,
            networks=call.asked.get("networks", former.networks),
            at=call.at,
            now=call.now,
        )
        return APP_PASSWORD.answer(call, APP_PASSWORD.load(call, password, mailbox))

    @operation(
        name="revoke_app_password", scope="passwords:write", gives=devices.AppPasswordDocument
    )
    def delete(self, call: Call, *, mailbox: UUID, password: UUID) -> Answer:
        """Revoke an app password: it is worthless at once, and open sessions end."""
        found = _locked(call, password, mailbox)
        credentials.revoke(actor=call.actor, app_password=found, at=call.at, now=call.now)
        return APP_PASSWORD.answer(call, APP_PASSWORD.load(call, password, mailbox))
