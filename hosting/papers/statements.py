"""A reseller's bill from the house, by the customer whose mailboxes it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.models import Organisation
from hosting.charges import Charge
from hosting.models import Invoice
from hosting.papers import lines
from hosting.papers.bills import assemble
from hosting.papers.values import MOST_LINES, Paper, Section, amount


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What a bill charges for the mailboxes of one customer; without one, for all that share."""

    customer: Organisation | None
    charges: list[Charge]
    # How many it stands for, where there are more than a paper can name.
    others: int = 0

    @property
    def net_minor(self) -> int:
        return sum(charge.net_minor for charge in self.charges)

    @property
    def name(self) -> str:
        if self.others:
            text = ngettext("%(count)s other customer", "%(count)s other customers", self.others)
            return text % {"count": f"{self.others:,}"}
        return self.customer.name if self.customer else _("Shared by all mailboxes")


def statement(invoice: Invoice) -> Paper:
    """The paper of a reseller's bill; load `customer`, `corrects` and `logo` with it."""
    parts = _folded(_parts(invoice))
    count = sum(len(part.charges) for part in parts)
    retail = _retail(invoice)
    late = lines.late(invoice) if count <= MOST_LINES else None
    return assemble(
        invoice,
        title=_("Statement"),
        sections=[_section(part, invoice, retail=retail, late=late) for part in parts],
        line_count=count,
    )


def _parts(invoice: Invoice) -> Sequence[_Part]:
    """By the customer's name; what belongs to no mailbox comes last."""
    found: dict[int, _Part] = {}
    for row in lines.rows_of(invoice).iterator(chunk_size=2000):
        customer = row.mailbox.organisation if row.mailbox else None
        part = found.setdefault(
            customer.pk if customer else 0, _Part(customer=customer, charges=[])
        )
        part.charges.append(lines.charge_of(row))
    return sorted(found.values(), key=lambda part: (part.customer is None, part.name))


def _folded(parts: Sequence[_Part]) -> Sequence[_Part]:
    """As many as can be named; the rest together."""
    if len(parts) <= MOST_LINES:
        return parts
    rest = parts[MOST_LINES - 1 :]
    charges = [charge for part in rest for charge in part.charges]
    return [*parts[: MOST_LINES - 1], _Part(customer=None, charges=charges, others=len(rest))]


def _retail(invoice: Invoice) -> Mapping[int, int]:
    """What the reseller itself billed for the month before tax, where it can be compared."""
    billed = Invoice.objects.standing().filter(
        seller=invoice.customer_id, period=invoice.period, currency=invoice.currency
    )
    return dict(billed.values_list("customer_id", "net_minor"))


def _section(
    part: _Part, invoice: Invoice, *, retail: Mapping[int, int], late: lines.Late | None
) -> Section:
    is_credit = invoice.kind == Invoice.Kind.CREDIT_NOTE
    shown = (
        [lines.in_words(charge, late=late, is_credit=is_credit) for charge in part.charges]
        if late
        else []
    )
    return Section(
        title=part.name,
        lines=shown,
        net_text=amount(part.net_minor, currency=invoice.currency),
        note=_margin_text(part, invoice, retail=retail),
    )


def _margin_text(part: _Part, invoice: Invoice, *, retail: Mapping[int, int]) -> str:
    if part.customer is None or part.customer.pk not in retail:
        return ""
    billed = retail[part.customer.pk]
    return _("You billed %(billed)s %(currency)s, which leaves %(margin)s %(currency)s.") % {
        "billed": amount(billed, currency=invoice.currency),
        "margin": amount(billed - part.net_minor, currency=invoice.currency),
        "currency": invoice.currency,
    }
