"""Which months are not closed yet, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db.models import Exists, Min, OuterRef, Q, QuerySet

from accounts.models import Organisation
from hosting.models import Contract, Invoice, MonthClose
from hosting.periods import Period

# So many problems are kept in words; they are mostly the same for many.
_MOST_KEPT = 20
# The worker closes a month two hours after its end; a day more, and it has not.
_LATE = timedelta(hours=26)


def note(period: Period, problems: Sequence[str], *, at: datetime) -> None:
    """Keep how a close went; without problems the month is complete."""
    known = MonthClose.objects.filter(period=period.first_day).first()
    since = (known.failing_since if known else None) or at
    row = MonthClose(
        period=period.first_day,
        looked_at=at,
        failing_since=since if problems else None,
        problem_count=len(problems),
        problems=list(problems[:_MOST_KEPT]),
    )
    # In one statement, since two may close the same month at once.
    MonthClose.objects.bulk_create(
        [row],
        update_conflicts=True,
        unique_fields=["period"],
        update_fields=["looked_at", "failing_since", "problem_count", "problems"],
    )


def due(*, at: datetime) -> list[Period]:
    """The months that are over and not complete, oldest first, from the first contract on.

    However long no worker ran, none of them is left out.
    """
    over = _over(Contract.objects.filter(mailbox__organisation__is_test=False), at=at)
    if not over:
        return []
    complete = MonthClose.objects.filter(failing_since=None)
    done = set(complete.values_list("period", flat=True))
    return [month for month in over if month.first_day not in done]


def due_on_test_clock(organisation: Organisation, *, at: datetime) -> list[Period]:
    """The same for a test organisation: last month, and those before that lack their bill.

    At last month it is looked whatever it had, since its bill may put earlier ones right.
    """
    last = Period.of(at).previous
    over = _over(Contract.objects.filter(mailbox__organisation=organisation), at=at)
    bills = Invoice.objects.filter(customer=organisation, kind=Invoice.Kind.INVOICE)
    billed = set(bills.values_list("period", flat=True))
    itself = Organisation.objects.filter(pk=organisation.pk)
    earlier = [
        month
        for month in over
        if month != last
        and month.first_day not in billed
        and itself.filter(had_mailboxes(month)).exists()
    ]
    return [*earlier, last]


def _over(contracts: QuerySet[Contract], *, at: datetime) -> list[Period]:
    """The months that are over, from the first of these contracts on."""
    first: datetime | None = contracts.aggregate(first=Min("starts_at"))["first"]
    return [] if first is None else list(Period.of(first).until(Period.of(at).previous))


def had_mailboxes(month: Period) -> Q:
    """Which buyers pay for a mailbox of this month: one of their own, or one below them."""
    held = Contract.objects.filter(starts_at__lt=month.ends_at).exclude(
        ends_at__lte=month.starts_at
    )
    below = held.filter(
        mailbox__organisation__parent=OuterRef("pk"), mailbox__organisation__is_test=False
    )
    return Q(Exists(held.filter(mailbox__organisation=OuterRef("pk")))) | Q(Exists(below))


def unbilled(buyers: QuerySet[Organisation], *, at: datetime) -> tuple[Organisation, Period] | None:
    """One of these buyers that had mailboxes in a month that is over and has no bill of it yet.

    Test organisations are left out: each advance of their clock bills what is over, and nobody
    pays for what it could not.
    """
    for month in due(at=at):
        bills = Invoice.objects.filter(
            customer=OuterRef("pk"), period=month.first_day, kind=Invoice.Kind.INVOICE
        )
        found = buyers.filter(had_mailboxes(month), ~Exists(bills), is_test=False).first()
        if found is not None:
            return found, month
    return None


def trouble(*, at: datetime) -> str:
    """Which bills are missing and why, in a sentence; nothing if none is."""
    missing = [month for month in due(at=at) if month.ends_at < at - _LATE]
    if not missing:
        return ""
    known = MonthClose.objects.filter(period=missing[0].first_day).first()
    if known is None:
        return f"The bills of {missing[0]} have not been written."
    return f"Bills of {missing[0]} are missing. {known.problems[0]}"
