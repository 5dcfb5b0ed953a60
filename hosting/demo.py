"""The demo: a provider, a reseller, customers, and real mail in real mailboxes."""

from __future__ import annotations

import json
import secrets
from base64 import b32decode
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

from django.conf import settings
from django.db import transaction

from accounts import membership
from accounts.access import Actor, system
from accounts.models import Membership, Organisation, User
from accounts.second_factor import authenticators
from hosting import capping, invoicing, ledger, metering, ordering
from hosting.metering import DAY_SECONDS
from hosting.models import BillingProfile, Invoice, Payment, Plan
from hosting.periods import Period
from mailstore import credentials, domains
from mailstore.engine import Engine
from mailstore.models import Mailbox, Usage, UsageDay

_PEOPLE = (
    # address, name, organisation, role
    ("sam@restante.test", "Sam", "Restante", Membership.Role.OPERATOR),
    ("rita@rowan.test", "Rita", "Rowan Hosting", Membership.Role.OWNER),
    ("alice@alder.test", "Alice", "Alder Books", Membership.Role.OWNER),
    ("bob@alder.test", "Bob", "Alder Books", Membership.Role.READ_ONLY),
    ("charlie@juniper.test", "Charlie", "Juniper Garden", Membership.Role.OWNER),
)
_DOMAINS = (("alder.test", "Alder Books"), ("juniper.test", "Juniper Garden"))
_MAILBOXES = (
    ("hello", "alder.test", "imap", "Alice, on every device"),
    ("till", "alder.test", "pop", "The computer at the till"),
    ("garden", "juniper.test", "imap", ""),
)
_ADDRESSES = {
    "Restante": "Posthof 1\n1010 Vienna",
    "Rowan Hosting": "Rowan Yard 12\n5020 Salzburg",
    "Alder Books": "Mill Lane 4\n8010 Graz",
    "Juniper Garden": "Hedge Row 9\n6020 Innsbruck",
}
# What the meter noted of each mailbox: megabytes at the start, and how many came each week.
_GROWTH = (
    ("hello@alder.test", 5_200, 240),
    ("till@alder.test", 60, 5),
    ("garden@juniper.test", 2_100, 130),
)
_MEGABYTE = 10**6
_AUTHENTICATOR_BYTES = 20
_WEEK_DAYS = 7
_OWN_CAP_MINOR = 1_000
_LETTERS = (
    ("Your order of eleven atlases", "The atlases left our warehouse today, in two parcels."),
    ("Reading on Thursday", "Forty chairs are enough. Please leave the side door unlocked."),
    ("Invoice for the shelves", "Thank you for your trust. The invoice has thirty days."),
    ("A question about a first edition", "Does the copy in the window still have its jacket?"),
    ("Change of opening hours", "From Monday the delivery entrance opens at seven."),
)


@dataclass(frozen=True, kw_only=True)
class SignIn:
    """Something the demo can be entered with."""

    what: str
    name: str
    secret: str
    # What the person's authenticator app holds, in base 32; whoever needs none has none.
    authenticator: str = ""


def sign_ins_path() -> Path:
    """Where the demo's sign-ins are kept for the person who runs it."""
    return Path(settings.SECRETS_FOLDER) / "demo_sign_ins.json"


def sign_ins() -> list[SignIn]:
    """The demo's sign-ins, or none if there is no demo here."""
    try:
        stored = json.loads(sign_ins_path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return [SignIn(**entry) for entry in stored]


def load(*, at: datetime) -> bool:
    """Make the demo unless anything lives here already; returns whether it was made.

    It began two whole months ago, so that there is a past to look at: use, bills and payments.
    """
    this_month = Period.of(at)
    last_month = this_month.previous
    first_month = last_month.previous
    with transaction.atomic():
        if Organisation.objects.exists():
            return False
        actor = system("demo")
        organisations = _make_organisations(at=first_month.starts_at)
        _make_profiles(organisations)
        made = [
            *_make_people(organisations, actor=actor, at=first_month.starts_at),
            *_make_mailboxes(organisations, actor=actor, at=first_month.starts_at),
        ]
        _note_use(first_month.starts_at, until=at)
        _close_and_pay(first_month, actor=actor)
        _close(last_month, actor=actor)
        _set_cap(organisations["Alder Books"], actor=actor, at=this_month.starts_at)
        # The file comes before the commit: sign-ins that nobody knows would be worse than a
        # file about a demo that does not exist, which the next start replaces.
        _keep(made)
    return True


def deliver_letters(*, engine: Engine, at: datetime) -> int:
    """Put real mail into demo mailboxes that are empty; returns how many letters went in."""
    delivered = 0
    names = [f"{local_part}@{domain}" for local_part, domain, _protocol, _label in _MAILBOXES]
    filled = set(
        Usage.objects.filter(username__in=names, messages__gt=0).values_list("username", flat=True),
    )
    for mailbox in Mailbox.objects.standing().filter(address__in=set(names) - filled):
        for subject, text in _LETTERS:
            engine.deliver(
                recipient=mailbox.address,
                message=_letter(mailbox.address, subject, text, at=at),
                sender="post@quarry.test",
            )
            delivered += 1
    return delivered


def _make_organisations(*, at: datetime) -> dict[str, Organisation]:
    kinds = Organisation.Kind
    provider = Organisation.objects.create(kind=kinds.PROVIDER, name="Restante", created_at=at)
    reseller = Organisation.objects.create(
        kind=kinds.RESELLER,
        name="Rowan Hosting",
        parent=provider,
        created_at=at,
    )
    books = Organisation.objects.create(
        kind=kinds.CUSTOMER,
        name="Alder Books",
        parent=reseller,
        created_at=at,
    )
    garden = Organisation.objects.create(
        kind=kinds.CUSTOMER,
        name="Juniper Garden",
        parent=provider,
        created_at=at,
    )
    return {organisation.name: organisation for organisation in (provider, reseller, books, garden)}


def _make_profiles(organisations: dict[str, Organisation]) -> None:
    """What bills need to know of each."""
    for name, organisation in organisations.items():
        BillingProfile.objects.create(
            organisation=organisation,
            legal_name=name,
            address=_ADDRESSES[name],
            country="AT",
            # Nobody pays in a demo that is left alone, and its mail should go on.
            payment_days=120,
        )


def _make_people(
    organisations: dict[str, Organisation], *, actor: Actor, at: datetime
) -> list[SignIn]:
    made = []
    for email, name, organisation_name, role in _PEOPLE:
        password = secrets.token_urlsafe(9)
        user = User.objects.create_user(email, password, name=name, email_verified_at=at)
        organisation = organisations[organisation_name]
        membership.add_member(actor=actor, organisation=organisation, user=user, role=role, at=at)
        what = f"{name}, {Membership.Role(role).label.lower()} of {organisation.name}"
        has_app = organisation.kind != Organisation.Kind.CUSTOMER
        app = _give_authenticator(user) if has_app else ""
        made.append(SignIn(what=what, name=email, secret=password, authenticator=app))
    return made


def _give_authenticator(user: User) -> str:
    """Staff and sellers need a second factor: an app whose secret is kept with the sign-ins."""
    device = authenticators.give(user, secret=secrets.token_bytes(_AUTHENTICATOR_BYTES))
    return authenticators.secret_text(device)


def codes(*, at: datetime) -> dict[str, str]:
    """What the authenticator apps of the demo's people show at that moment, by address."""
    return {
        entry.name: authenticators.code_at(b32decode(_padded(entry.authenticator)), at=at)
        for entry in sign_ins()
        if entry.authenticator
    }


def _padded(secret: str) -> str:
    return secret + "=" * (-len(secret) % 8)


def _make_mailboxes(
    organisations: dict[str, Organisation], *, actor: Actor, at: datetime
) -> list[SignIn]:
    owned = {
        name: domains.add(actor=actor, organisation=organisations[owner], name=name, at=at)
        for name, owner in _DOMAINS
    }
    made = []
    for local_part, domain, protocol, label in _MAILBOXES:
        mailbox = ordering.order(
            actor=actor,
            domain=owned[domain],
            local_part=local_part,
            plan=Plan.objects.on_sale().filter(protocol=protocol)[0],
            label=label,
            at=at,
        )
        issued = credentials.issue(actor=actor, mailbox=mailbox, label="Demo", at=at)
        what = f"{protocol.upper()} mailbox"
        made.append(SignIn(what=what, name=mailbox.address, secret=issued.secret))
    return made


def _note_use(since: datetime, *, until: datetime) -> None:
    """The days that the meter would have closed until today, when the demo's mailboxes are empty.

    Reports may have a database of their own, where days of a demo that was not made in the end
    stay behind; they are the same days.
    """
    first = metering.seconds(since) // DAY_SECONDS
    today = metering.seconds(until) // DAY_SECONDS
    UsageDay.objects.bulk_create(
        (
            UsageDay(
                username=address,
                day=day,
                days=min(_WEEK_DAYS, today - day),
                byte_seconds=(megabytes + weekly * week) * _MEGABYTE * DAY_SECONDS,
            )
            for address, megabytes, weekly in _GROWTH
            for week, day in enumerate(range(first, today, _WEEK_DAYS))
        ),
        ignore_conflicts=True,
    )
    midnight = today * DAY_SECONDS
    Usage.objects.bulk_create(
        (Usage(username=address, since=midnight) for address, _size, _weekly in _GROWTH),
        ignore_conflicts=True,
    )


def _close(period: Period, *, actor: Actor) -> None:
    invoicing.close_month(actor=actor, period=period, at=period.ends_at + timedelta(hours=2))


def _close_and_pay(period: Period, *, actor: Actor) -> None:
    """Bills that everybody paid after five days."""
    _close(period, actor=actor)
    paid_at = period.ends_at + timedelta(days=5, hours=9)
    for invoice in Invoice.objects.filter(period=period.first_day).select_related(
        "seller", "customer"
    ):
        payment = ledger.receive(
            actor=actor,
            seller=invoice.seller,
            customer=invoice.customer,
            source=Payment.Source.STAFF,
            amount_minor=invoice.total_minor,
            currency=invoice.currency,
            received_on=paid_at.date(),
            payer=invoice.customer.name,
            reference=invoice.number,
            at=paid_at,
        )
        ledger.match(actor=actor, payment=payment, invoice=invoice, at=paid_at)


def _set_cap(organisation: Organisation, *, actor: Actor, at: datetime) -> None:
    capping.set_own(
        actor=actor, organisation=organisation, cap_minor=_OWN_CAP_MINOR, currency="EUR", at=at
    )


def _keep(made: list[SignIn]) -> None:
    path = sign_ins_path()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps([asdict(entry) for entry in made], indent=1), encoding="utf-8")


def _letter(address: str, subject: str, text: str, *, at: datetime) -> bytes:
    letter = EmailMessage()
    letter["Subject"] = subject
    letter["From"] = "Quarry Post <post@quarry.test>"
    letter["To"] = address
    letter["Date"] = format_datetime(at)
    letter["Message-ID"] = make_msgid(domain="quarry.test")
    letter.set_content(text)
    return letter.as_bytes()
