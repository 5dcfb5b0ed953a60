"""The start page: what needs attention in words, how bad it is, and where to look."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.contrib.humanize.templatetags.humanize import intcomma
from django.urls import reverse
from django.utils.timesince import timesince
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from hosting import attention, gathering
from mailstore.quotas import byte_text

# How much it matters: somebody may lose mail or money; something does not work; good to know.
URGENT, WRONG, OPEN = "urgent", "wrong", "open"


class _Words(NamedTuple):
    """How something is called, what to do about it, how much it matters, and its list."""

    title: Any
    advice: Any
    weight: str
    page: str
    query: str = ""


_WORDS: Mapping[str, _Words] = {
    "alarms": _Words(
        _("Tripwires without an answer"),
        _("Mass deletions that were stopped. The mailboxes are frozen until somebody answers."),
        *(URGENT, "mailstore_alarm", "answer=waiting"),
    ),
    "bulk": _Words(
        _("Waits for a second person"),
        _("A colleague asks for something in bulk. It lapses after a day."),
        *(URGENT, "hosting_bulkrequest", "state=asked"),
    ),
    "failed_purges": _Words(
        _("Purges that do not get on"),
        _("Their last turn failed, or a hold stops them. The reason stands in the list."),
        *(WRONG, "mailstore_purgerun", "progress=failing"),
    ),
    "late_purges": _Words(
        _("Purges that are late"),
        _("Planned more than a quarter of an hour ago. Are workers and mail server well?"),
        *(WRONG, "mailstore_purgerun", "progress=late"),
    ),
    "failed_restores": _Words(
        _("Restores that do not get on"),
        _("Somebody waits for mail to come back."),
        *(URGENT, "mailstore_restorerun", ""),
    ),
    "late_erasures": _Words(
        _("Closed mailboxes not erased in time"),
        _("Their grace is over for more than an hour, and their mail is still there."),
        *(WRONG, "mailstore_mailbox", "state=closing"),
    ),
    "setbacks": _Words(
        _("Work that fails for one of many"),
        _("It is tried again, ever less often. The failure stands in the list."),
        *(WRONG, "accounts_setback", ""),
    ),
    "mailbox_imports": _Words(
        _("Mailbox imports that stand still"),
        _("No worker has been at them for ten minutes."),
        *(WRONG, "hosting_mailboximport", "state=running"),
    ),
    "bank_imports": _Words(
        _("Bank statements that stand still"),
        _("No worker has been at them for ten minutes."),
        *(WRONG, "hosting_bankimport", "state=running"),
    ),
    "switches": _Words(
        _("Changes of protocol that fail"),
        _("The mail server has not followed yet."),
        *(WRONG, "mailstore_protocolswitch", "done_at__isempty=1"),
    ),
    "failed_changes": _Words(
        _("Changes that could not be made"),
        _("They had cooled off, and then something stood in the way. Of the last seven days."),
        *(WRONG, "mailstore_pendingchange", "state__exact=failed"),
    ),
    "unanswered": _Words(
        _("Organisations for which nobody answers"),
        _("Their last owner was shut out. Make somebody an owner on the page of their people."),
        *(WRONG, "accounts_organisation", "unanswered_since__isempty=0"),
    ),
    "letters": _Words(
        _("Letters that were not taken"),
        _("The relay refuses them. Mend the address, or send them again."),
        *(WRONG, "accounts_notice", "state=failed"),
    ),
    "webhooks_off": _Words(
        _("Webhooks that were switched off"),
        _("They failed for days, or answered that they are gone. Their owners have a letter."),
        *(OPEN, "hosting_webhookendpoint", "state__exact=disabled"),
    ),
    "webhooks_failing": _Words(
        _("Webhooks that fail now"),
        _("They are tried again until they are switched off."),
        *(OPEN, "hosting_webhookendpoint", "failing_since__isempty=0"),
    ),
    "provider": _Words(
        _("Messages of the payment provider to look at"),
        _("Nobody else will do what they say."),
        *(URGENT, "hosting_providerevent", "state__exact=failed"),
    ),
    "refunds": _Words(
        _("Refunds that did not happen"),
        _("Somebody waits for money."),
        *(URGENT, "hosting_refund", "state__exact=failed"),
    ),
    "bills": _Words(
        _("Months with bills missing"),
        _("The reasons stand in the list. What was mended is billed in the night."),
        *(URGENT, "hosting_monthclose", "failing_since__isempty=0"),
    ),
    "overage": _Words(
        _("Overage to look at before it is charged"),
        _("It is more than twice the usual. Release it, or let it go; its customers know."),
        *(OPEN, "hosting_heldoverage", "state=waiting"),
    ),
    "past_due": _Words(
        _("Customers past due"),
        _("They are reminded, and stopped step by step."),
        *(OPEN, "hosting_dunning", "state=open"),
    ),
    "full": _Words(
        _("Full mailboxes"),
        _("New mail for them waits at its senders, and is refused when the grace is over."),
        *(OPEN, "mailstore_mailbox", "full_since__isempty=0"),
    ),
    "guessed": _Words(
        _("Mailboxes whose password was guessed at"),
        _("Noticed within a day. The guard holds the guesses back, and the owners have a letter."),
        *(OPEN, "mailstore_guessingalarm", ""),
    ),
    "lost_factors": _Words(
        _("Lost second factors that wait"),
        _("They end after some days in which everybody concerned is told. Does the story hold?"),
        *(OPEN, "accounts_factorloss", "state__exact=waiting"),
    ),
    "domains": _Words(
        _("Domains nobody has confirmed"),
        _("They can have no mailboxes until then."),
        *(OPEN, "mailstore_domain", "state__exact=waiting"),
    ),
    "dns_failing": _Words(
        _("DNS failing"),
        _("The records of these domains lead mail elsewhere. Their owners have a letter."),
        *(WRONG, "mailstore_domain", "dns=failing"),
    ),
    "hosts": _Words(
        _("Host names whose DNS records are missing"),
        _("They are let go after a week."),
        *(OPEN, "hosting_panelhost", ""),
    ),
    "drift": _Words(
        _("Meters that had drifted"),
        _("Found and put right in the last two nights. A report of the mail server was lost."),
        *(OPEN, "mailstore_drift", ""),
    ),
    "holds": _Words(
        _("Holds that stand"),
        _("Nothing below them is removed."),
        *(OPEN, "mailstore_hold", "state=standing"),
    ),
    "changes": _Words(
        _("Changes on their way"),
        _("They make mail less safe, and can be called off until they take effect."),
        *(OPEN, "mailstore_pendingchange", "state__exact=waiting"),
    ),
}
_SIGNS: Mapping[str, Any] = {
    "workers": _("Queue, workers and beat"),
    "mail_server": _("Mail server"),
    "disk": _("Disk"),
    "sweep": _("Last full sweep"),
    "recount": _("Last recount"),
}
_WEIGHTS = (URGENT, WRONG, OPEN)


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that needs attention."""

    title: str
    advice: str
    weight: str
    count_text: str
    since_text: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Sign:
    """One part of the house in words."""

    title: str
    text: str
    is_well: bool


def context(
    found: Iterable[attention.Found], signs: Iterable[attention.Sign], *, at: datetime
) -> dict[str, Any]:
    """Everything that the page shows: what there is by weight, and what is quiet."""
    found = list(found)
    items = [_item(each, at=at) for each in found if each.count]
    items.sort(key=lambda item: _WEIGHTS.index(item.weight))
    return {
        "items": items,
        "quiet": [str(_WORDS[each.name].title) for each in found if not each.count],
        "signs": [_sign(each, at=at) for each in signs],
    }


def _item(found: attention.Found, *, at: datetime) -> Item:
    words = _WORDS[found.name]
    url = reverse(f"admin:{words.page}_changelist")
    most = intcomma(gathering.MOST_COUNTED)
    return Item(
        title=str(words.title),
        advice=str(words.advice),
        weight=words.weight,
        count_text=f"{most}+" if found.is_more else intcomma(found.count),
        since_text=_span(found.since, at=at) if found.since else "",
        url=f"{url}?{words.query}" if words.query else url,
    )


def _sign(sign: attention.Sign, *, at: datetime) -> Sign:
    return Sign(title=str(_SIGNS[sign.name]), text=_sign_text(sign, at=at), is_well=sign.is_well)


def _sign_text(sign: attention.Sign, *, at: datetime) -> str:
    if sign.name == "mail_server":
        return gettext("answers") if sign.is_well else gettext("does not answer")
    if sign.name == "disk":
        return gettext("%(free)s free") % {"free": byte_text(sign.value)}
    if sign.value is None:
        return gettext("never yet")
    return gettext("%(time)s ago") % {"time": _span(sign.value, at=at)}


def _span(since: datetime, *, at: datetime) -> str:
    """How long ago it was, in one unit."""
    if at - since < timedelta(minutes=1):
        return gettext("less than a minute")
    return timesince(since, at, depth=1)
