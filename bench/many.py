"""Very many mailboxes with contracts and use, made of one row of each kind, for several benches.

Half of them are POP, half IMAP; every fiftieth changed its plan within the month; customers have
10 to 190 mailboxes. Each mailbox has few rows of use.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.db import connection

from bench import house
from hosting.metering import DAY_SECONDS
from hosting.models import BillingProfile, Contract, Plan
from hosting.periods import Period

MAILBOXES_A_CUSTOMER = 100
MONTH = Period(2026, 10)
# Customer, mailbox and contract number n have a key of their own; a thousand mailboxes belong
# to ten customers.
_KEY = 1_000_000 * 10
_OWNER = f"{_KEY} + n / 1000 * 10 + floor(sqrt(n % 1000 / 10.0))::bigint"
_ADDRESS = "'mailbox' || n || '@c' || n / 1000 || '.test'"
_SWITCH = "timestamptz '2026-10-16 10:00:00Z'"
_SIZE = "({n} % 20) * 1000000000::bigint + {n}"
# What the day of the switch had brought by then, at ten hours of it.
_MARK = f"({_SIZE}) * 36000"


def template() -> Mapping[str, int]:
    """One row of each kind, opened after the month, of which all others are copies."""
    from tests.factories import make_mailbox  # noqa: PLC0415  # It reads the settings.

    cast = house.cast()
    BillingProfile.objects.create(
        organisation=cast.provider, legal_name="Restante Ltd", address="Mill Lane", country="AT"
    )
    mailbox = make_mailbox(cast.other_domain, "template")
    return {
        "organisation": cast.other_customer.pk,
        "domain": cast.other_domain.pk,
        "mailbox": mailbox.pk,
        "contract": Contract.objects.get(mailbox=mailbox).pk,
        **{plan.slug: plan.pk for plan in Plan.objects.all()},
    }


def multiply(model: Mapping[str, int], *, first: int, end: int) -> None:
    """Mailboxes number `first` to `end`, in one statement a table."""
    customers = first // MAILBOXES_A_CUSTOMER, end // MAILBOXES_A_CUSTOMER
    _copy(
        "accounts_organisation",
        model["organisation"],
        customers,
        id=f"{_KEY} + n",
        uuid="gen_random_uuid()",
        name="'Customer ' || n",
    )
    _copy(
        "mailstore_domain",
        model["domain"],
        customers,
        id=f"{_KEY} + n",
        uuid="gen_random_uuid()",
        name="'c' || n || '.test'",
        organisation_id=f"{_KEY} + n",
    )
    _copy(
        "mailstore_mailbox",
        model["mailbox"],
        (first, end),
        id=f"{_KEY} + n",
        uuid="gen_random_uuid()",
        local_part="'mailbox' || n",
        address=_ADDRESS,
        protocol="CASE n % 2 WHEN 0 THEN 'pop' ELSE 'imap' END",
        organisation_id=_OWNER,
        domain_id=_OWNER,
    )
    _contracts(model, (first, end))
    _use((first, end))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _contracts(model: Mapping[str, int], numbers: tuple[int, int]) -> None:
    """Each mailbox has been sold since January; every fiftieth went from POP to IMAP."""
    pop, imap = model["pop"], model["imap"]
    _copy(
        "hosting_contract",
        model["contract"],
        numbers,
        id=f"{_KEY} + n",
        mailbox_id=f"{_KEY} + n",
        plan_id=f"CASE n % 2 WHEN 0 THEN {pop} ELSE {imap} END",
        starts_at="timestamptz '2026-01-01 00:00:00Z'",
        ends_at=f"CASE n % 50 WHEN 0 THEN {_SWITCH} END",
        end_mark=f"CASE n % 50 WHEN 0 THEN {_MARK.format(n='n')} ELSE 0 END",
    )
    _copy(
        "hosting_contract",
        model["contract"],
        (numbers[0] // 50, numbers[1] // 50),
        id=f"{2 * _KEY} + n",
        mailbox_id=f"{_KEY} + n * 50",
        plan_id=str(imap),
        starts_at=_SWITCH,
        start_mark=_MARK.format(n="(n * 50)"),
    )


def _use(numbers: tuple[int, int]) -> None:
    """Eight rows a mailbox, each of four days that were alike, and a report since."""
    first, last = MONTH.start // DAY_SECONDS, MONTH.end // DAY_SECONDS
    size = _SIZE.format(n="n")
    series = f"generate_series({numbers[0]}, {numbers[1]} - 1) AS n"
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO mailstore_usage (username, bytes, messages, since) "
            f"SELECT {_ADDRESS}, {size}, n, {MONTH.end} + n % 3600 FROM {series}"
        )
        cursor.execute(
            "INSERT INTO mailstore_usageday (username, day, days, byte_seconds) "
            f"SELECT {_ADDRESS}, {first} + 4 * k, least(4, {last} - {first} - 4 * k), "
            f"({size}) * {DAY_SECONDS} * (k + 1) / 8 + k FROM {series}, generate_series(0, 7) k"
        )


def _copy(table: str, key: int, numbers: tuple[int, int], **values: str) -> None:
    """Copies of a row, one for each number n, with other values in some columns."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        columns = [column.name for column in cursor.description]
        chosen = ", ".join(values.get(name, f"t.{name}") for name in columns)
        cursor.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} "
            f"FROM {table} t, generate_series({numbers[0]}, {numbers[1]} - 1) AS n "
            f"WHERE t.id = {key}"
        )
