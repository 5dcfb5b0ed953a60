"""What becomes of each line of a bank statement; preview and work ask the same clerk."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from django.db.models import Exists, OuterRef, Q
from django.utils.translation import gettext as _

from hosting import money
from hosting.banking import matching
from hosting.banking.matching import Clue
from hosting.banking.statements import BadLine, Line
from hosting.models import (
    BankImport,
    Invoice,
    InvoiceCounter,
    LedgerEntry,
    OpenItem,
    Payment,
    Refund,
)

# In the ids of refunds, beside those of the payment provider.
_BANK = "bank:"
_LONGEST_ID = 100
# A credit note takes the credit of a bill below zero back (`ledger.credit`); no money leaves.
_NOTES = Invoice.objects.filter(
    number=OuterRef("reason"), corrects__number=OuterRef("payment__external_id")
)


# What an id was used for: an amount, its currency, and the day where that is kept.
Moved = tuple[int, str, date | None]


class Outcome(StrEnum):
    """What a line comes to."""

    MATCHED = "matched"
    UNMATCHED = "unmatched"
    KNOWN = "known"
    # Money that left: a payment that the bank took back, or one that staff had paid back.
    RETURNED = "returned"
    NOTED = "noted"
    BAD = "bad"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line, and what it is known by, however often it is uploaded."""

    line: Line | BadLine
    external_id: str = ""

    @property
    def refund_id(self) -> str:
        """The same where money left."""
        return _BANK + self.external_id


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one bill would get."""

    item: OpenItem
    amount_minor: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What would happen to one line, and why."""

    entry: Entry
    outcome: Outcome
    text: str
    column: str = ""
    shares: Sequence[Share] = field(default=())
    # What money that left is about: the payment it was, or the entry that tells of it.
    payment: Payment | None = None
    paid_back: LedgerEntry | None = None


def entries(lines: Sequence[Line | BadLine], *, account: str) -> list[Entry]:
    """Each line with an id; without one of the bank's, what it says and how often so far."""
    seen: Counter[str] = Counter()
    found = []
    for line in lines:
        if isinstance(line, BadLine):
            found.append(Entry(line=line))
            continue
        said = _said(line)
        seen[said] += 1
        # The bank's ids are meant to be unique; equal lines without one are two payments.
        suffix = "" if line.bank_id else f":{seen[said]}"
        found.append(Entry(line=line, external_id=f"{account}:{said}{suffix}"))
    return found


def _said(line: Line) -> str:
    if line.bank_id:
        is_short = len(line.bank_id) <= _LONGEST_ID
        return line.bank_id if is_short else _digest(line.bank_id)
    return _digest(
        *(str(line.day), str(line.amount_minor), line.currency, line.payer, line.reference)
    )


def _digest(*texts: str) -> str:
    return hashlib.sha256("\x1f".join(texts).encode()).hexdigest()[:40]


class Clerk:
    """Judges entries in pieces; what was judged before counts as done."""

    def __init__(self, listed: BankImport) -> None:
        self._seller = listed.seller
        self._lines: dict[str, Line] = {}
        self._left: dict[int, int] = {}
        # Entries that a line has told of already: each is one transfer.
        self._told: set[int] = set()

    def judge(self, piece: Sequence[Entry]) -> list[Verdict]:
        """The verdict on at most a batch of entries, in a few queries."""
        known = self._known(piece)
        coming = [
            each for each in piece if isinstance(each.line, Line) and each.line.amount_minor > 0
        ]
        clues = [_clue(each.line) for each in coming if isinstance(each.line, Line)]
        suggested = matching.suggest(clues, seller=self._seller)
        by_id = dict(zip((each.external_id for each in coming), suggested, strict=True))
        return [self._verdict(each, known, by_id.get(each.external_id)) for each in piece]

    def _known(self, piece: Sequence[Entry]) -> dict[str, Moved]:
        ids = [each.external_id for each in piece if each.external_id]
        payments = Payment.objects.filter(
            seller=self._seller, source=Payment.Source.BANK, external_id__in=ids
        )
        refunds = Refund.objects.filter(provider_id__in=[_BANK + each for each in ids])
        gone = refunds.filter(payment__seller=self._seller)
        came = payments.values_list("external_id", "amount_minor", "currency", "received_on")
        left = gone.values_list("provider_id", "amount_minor", "payment__currency")
        known: dict[str, Moved] = {each: (minor, code, day) for each, minor, code, day in came}
        return known | {
            each.removeprefix(_BANK): (-minor, code, None) for each, minor, code in left
        }

    def _verdict(
        self, entry: Entry, known: Mapping[str, Moved], suggestion: matching.Suggestion | None
    ) -> Verdict:
        line = entry.line
        if isinstance(line, BadLine):
            return Verdict(entry=entry, outcome=Outcome.BAD, text=line.fault, column=line.column)
        first = self._lines.setdefault(entry.external_id, line)
        if first.number != line.number:
            text = _("Its id stands on line %(line)s already.") % {"line": first.number}
            return _as_before(entry, line, _moved(first), text)
        if (before := known.get(entry.external_id)) is not None:
            return _as_before(entry, line, before, _("Recorded already."))
        if suggestion is None:
            return self._left_us(entry, line)
        return self._came(entry, line, suggestion)

    def _came(self, entry: Entry, line: Line, suggestion: matching.Suggestion) -> Verdict:
        shares = self._shares(line, suggestion.items) if suggestion.is_certain else []
        if not shares:
            text = suggestion.reason
            if suggestion.is_certain:
                text = _("Nothing is open of the bills that are named.")
            return Verdict(entry=entry, outcome=Outcome.UNMATCHED, text=text)
        text = ", ".join(_share_text(share) for share in shares)
        rest = line.amount_minor - sum(share.amount_minor for share in shares)
        if rest:
            rest_text = money.minor_text(rest, currency=line.currency)
            text += _("; %(rest)s stay as credit") % {"rest": rest_text}
        return Verdict(entry=entry, outcome=Outcome.MATCHED, text=text, shares=shares)

    def _shares(self, line: Line, items: Sequence[OpenItem]) -> list[Share]:
        """What each bill gets, in the order in which they are named."""
        shares, rest = [], line.amount_minor
        for item in items:
            left = self._left.setdefault(item.pk, item.open_minor)
            amount = min(rest, left)
            if amount:
                self._left[item.pk] -= amount
                rest -= amount
                shares.append(Share(item=item, amount_minor=amount))
        return shares

    def _left_us(self, entry: Entry, line: Line) -> Verdict:
        """Money that left is only taken over where there is one thing that it can be."""
        noted = self._paid_back(line)
        if len(noted) == 1:
            self._told.add(noted[0].pk)
            text = _("In the ledger already: %(entry)s") % {"entry": noted[0]}
            return Verdict(entry=entry, outcome=Outcome.NOTED, text=text, paid_back=noted[0])
        payments = [] if noted else self._returnable(line)
        if len(payments) == 1:
            text = _("Taken back by the bank: the payment of %(payment)s")
            return Verdict(
                entry=entry,
                outcome=Outcome.RETURNED,
                text=text % {"payment": payments[0]},
                payment=payments[0],
            )
        text = _("Money that left, and it is not clear for what. Record it by hand.")
        return Verdict(entry=entry, outcome=Outcome.BAD, text=text, column="amount")

    def _named(self, line: Line) -> list[str]:
        counters = InvoiceCounter.objects.filter(seller=self._seller)
        prefixes = counters.values_list("prefix", flat=True)
        return matching.numbers_in(line.reference, prefixes)

    def _paid_back(self, line: Line) -> list[LedgerEntry]:
        """What staff had paid back by hand, over this amount, and no line has told of yet."""
        found = (
            LedgerEntry.objects.filter(
                ~Exists(_NOTES),
                kind=LedgerEntry.Kind.REFUNDED,
                amount_minor=-line.amount_minor,
                currency=line.currency,
                payment__seller=self._seller,
                reversed_by=None,
                refund=None,
            )
            .exclude(payment__source=Payment.Source.STRIPE)
            .exclude(pk__in=self._told)
        )
        numbers = self._named(line)
        if numbers:
            about = Q(payment__customer__invoices__number__in=numbers)
            found = found.filter(about).distinct()
        return list(found.select_related("payment__customer", "payment__seller")[:2])

    def _returnable(self, line: Line) -> list[Payment]:
        """Payments by bank that settled a bill which is named."""
        found = Payment.objects.filter(
            seller=self._seller,
            source=Payment.Source.BANK,
            currency=line.currency,
            amount_minor__gte=-line.amount_minor,
            entries__kind=LedgerEntry.Kind.MATCHED,
            entries__reversed_by=None,
            entries__reverses=None,
            entries__invoice__number__in=self._named(line),
        )
        return list(found.select_related("customer", "seller").distinct()[:2])


def _moved(line: Line) -> Moved:
    return line.amount_minor, line.currency, line.day


def _as_before(entry: Entry, line: Line, before: Moved, text: str) -> Verdict:
    """The verdict on an id that is known: some banks count the lines of each file from one."""
    *amount, day = before
    if [*amount] == [line.amount_minor, line.currency] and day in {None, line.day}:
        return Verdict(entry=entry, outcome=Outcome.KNOWN, text=text)
    text += " " + _("That was another amount or day, so this one is not used.")
    return Verdict(entry=entry, outcome=Outcome.BAD, text=text, column="bank_id")


def _clue(line: Line) -> Clue:
    return Clue(
        amount_minor=line.amount_minor,
        currency=line.currency,
        payer=line.payer,
        reference=line.reference,
    )


def _share_text(share: Share) -> str:
    amount = money.minor_text(share.amount_minor, currency=share.item.invoice.currency)
    return f"{share.item.invoice.number}: {amount}"
