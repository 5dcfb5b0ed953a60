"""Times in which the mail server's reports were lost, as a bill tells of them."""

from __future__ import annotations

from django.utils.formats import date_format
from django.utils.translation import gettext as _

from hosting import metering
from hosting.models import Invoice
from hosting.periods import Period

# A paper names so many; the file with the use has all.
_MOST_NAMED = 10


def notes(invoice: Invoice) -> list[str]:
    """One sentence about all gaps of a bill's month that were known when it was written."""
    if invoice.corrects is not None or invoice.customer.is_test:
        return []
    month = Period.of_day(invoice.period)
    of_month = invoice.lines.filter(mailbox__isnull=False, period=invoice.period)
    names = set(of_month.order_by().values_list("mailbox__address", flat=True))
    found = [
        (name, max(gap.since, month.start), min(gap.until, month.end))
        for name, gaps in metering.gaps_of(names, known_at=invoice.issued_at).items()
        for gap in gaps
        if gap.since < month.end and gap.until > month.start
    ]
    if not found:
        return []
    named = [
        _("%(address)s from %(since)s until %(until)s")
        % {"address": name, "since": _text(since), "until": _text(until)}
        for name, since, until in sorted(found)[:_MOST_NAMED]
    ]
    more = len(found) - len(named)
    if more:
        named.append(_("%(count)s more, in the file with the use") % {"count": f"{more:,}"})
    text = _("Reports of the mail server were lost, so the lower size was counted: %(gaps)s (UTC).")
    return [text % {"gaps": "; ".join(named)}]


def _text(unix_seconds: int) -> str:
    return date_format(metering.moment(unix_seconds), "j F Y, H:i")
