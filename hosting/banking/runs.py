"""Bank statements that staff uploaded: kept, looked at, and taken into the ledger line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

from django.utils.translation import gettext as _

from accounts.access import Actor
from accounts.models import Organisation, User
from hosting import ledger, piecework
from hosting.banking import clerk, statements, tables
from hosting.banking.clerk import Clerk, Entry, Outcome, Verdict
from hosting.banking.statements import BadLine, Form, Line
from hosting.models import BankImport, LedgerEntry, Payment, Refund
from hosting.piecework import BATCH, Done, Problem, WrongState, cancel

__all__ = ["WrongState", "cancel", "confirm", "preview", "resume", "run", "take_in"]


def take_in(
    *,
    user: User,
    file_name: str,
    content: bytes,
    seller: Organisation | None,
    account: str,
    currency: str,
    form: Form,
    at: datetime,
) -> BankImport:
    """Keep a statement until somebody has looked at the preview; raises `UnreadableList`."""
    text, encoding = tables.decode(content, encoding=form.encoding)
    found = statements.read(text, form=form, currency=currency)
    return BankImport.objects.create(
        file_name=file_name[-255:],
        content=text,
        seller=seller,
        account=account,
        currency=currency,
        form={**found.form.as_data(), "encoding": encoding},
        row_count=len(found.lines),
        created_by=user,
        created_at=at,
    )


def preview(*, listed: BankImport) -> list[Verdict]:
    """What would happen now, line by line."""
    judge = Clerk(listed).judge
    read = _entries(listed)
    pieces = [read[start : start + BATCH] for start in range(0, len(read), BATCH)]
    return [verdict for piece in pieces for verdict in judge(piece)]


def _entries(listed: BankImport) -> list[Entry]:
    found = statements.read(listed.content, form=Form(**listed.form), currency=listed.currency)
    return clerk.entries(found.lines, account=listed.account)


def confirm(*, actor: Actor, listed: BankImport, at: datetime) -> None:
    """Start the work in the background; raises `WrongState`."""
    piecework.confirm(actor=actor, listed=listed, task="hosting.run_bank_import", at=at)


def resume(*, now: Callable[[], datetime]) -> int:
    """Take up every statement that waits or whose worker died; returns how many were worked on."""
    ids = piecework.waiting(BankImport.objects.all(), at=now())
    return sum(run(import_id=import_id, now=now) for import_id in ids)


def run(*, import_id: int, now: Callable[[], datetime]) -> bool:
    """Work a statement off from where it stands; returns whether it was ours to do."""
    statements_ = BankImport.objects.select_related("seller__parent")
    return piecework.run(statements_, import_id=import_id, worker_of=_Taker, now=now)


class _Taker:
    """Takes the lines of one statement into the ledger."""

    def __init__(self, listed: BankImport, actor: Actor) -> None:
        self._listed = listed
        self._actor = actor

    def records(self) -> list[Entry]:
        return _entries(self._listed)

    def do(self, piece: Sequence[Entry], *, at: datetime) -> Done:
        """One piece of a seller at a time, and customers in one order: nobody waits in a ring."""
        ledger.lock_seller(self._listed.seller)
        verdicts = Clerk(self._listed).judge(piece)
        customers = {share.item.invoice.customer for v in verdicts for share in v.shares}
        for customer in sorted(customers, key=lambda each: each.pk):
            ledger.lock_customer(customer)
        counts: Counter[str] = Counter()
        problems = []
        for verdict in verdicts:
            try:
                counts += self._taken(verdict, at=at)
            except ledger.LedgerRefused as refusal:
                problems.append(_problem(verdict, str(refusal)))
            if verdict.outcome is Outcome.BAD:
                problems.append(_problem(verdict, verdict.text))
        return Done(counts=dict(counts), problems=problems)

    def _taken(self, verdict: Verdict, *, at: datetime) -> Counter[str]:
        line = verdict.entry.line
        if isinstance(line, BadLine) or verdict.outcome is Outcome.BAD:
            return Counter()
        if verdict.outcome is Outcome.KNOWN:
            return Counter(known_count=1)
        if verdict.outcome in {Outcome.MATCHED, Outcome.UNMATCHED}:
            return self._received(verdict, line, at=at)
        self._gone(verdict, line, at=at)
        return Counter(taken_count=1)

    def _received(self, verdict: Verdict, line: Line, *, at: datetime) -> Counter[str]:
        try:
            payment = ledger.receive(
                actor=self._actor,
                seller=self._listed.seller,
                customer=None,
                source=Payment.Source.BANK,
                external_id=verdict.entry.external_id,
                amount_minor=line.amount_minor,
                currency=line.currency,
                received_on=line.day,
                payer=line.payer,
                reference=line.reference,
                at=at,
            )
        except ledger.AlreadyRecorded:
            return Counter(known_count=1)
        settled = [self._matched(payment, share, at=at) for share in verdict.shares]
        return Counter(taken_count=1, settled_count=int(any(settled)))

    def _matched(self, payment: Payment, share: clerk.Share, *, at: datetime) -> bool:
        """What was paid by another way meanwhile stays with staff."""
        try:
            ledger.match(
                actor=self._actor,
                payment=payment,
                invoice=share.item.invoice,
                amount_minor=share.amount_minor,
                at=at,
            )
        except ledger.NotMatched:
            return False
        payment.refresh_from_db()
        return True

    def _gone(self, verdict: Verdict, line: Line, *, at: datetime) -> None:
        entry = verdict.paid_back or self._returned(verdict, line, at=at)
        Refund.objects.create(
            payment=cast("Payment", entry.payment),
            entry=entry,
            amount_minor=-line.amount_minor,
            state=Refund.State.SENT,
            provider_id=verdict.entry.refund_id,
            retry_at=at,
            asked_at=at,
        )

    def _returned(self, verdict: Verdict, line: Line, *, at: datetime) -> LedgerEntry:
        return ledger.pay_back(
            actor=self._actor,
            payment=cast("Payment", verdict.payment),
            amount_minor=-line.amount_minor,
            reason=_("Taken back by the bank: %(text)s") % {"text": line.reference},
            at=at,
            is_forced=True,
        )


def _problem(verdict: Verdict, message: str) -> Problem:
    return Problem(line=verdict.entry.line.number, column=verdict.column, message=message)
