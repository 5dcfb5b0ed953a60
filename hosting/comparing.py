"""What a change of plan means for one mailbox, in a person's words and the mailbox's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from hosting import changing, limits, presenting, pricing, selling
from hosting.changing import Month, Proposal
from hosting.models import Plan, Price
from mailstore import (
    credentials,
    holding,
    policy,
    previewing,
    provisioning,
    quotas,
    retention,
    switching,
    thresholds,
)
from mailstore.engine import Engine, FolderUsage, RemovedMessage, RemovedSearch
from mailstore.models import Mailbox
from mailstore.previewing import FolderPreview, Preview

# How far the preview of what goes looks ahead.
HORIZON = timedelta(days=60)
REFUSALS = (
    changing.PlanRefused,
    *selling.REFUSALS,
    switching.BelowUse,
    provisioning.WrongState,
    holding.Stopped,
    limits.LimitReached,
)


@dataclass(frozen=True, kw_only=True)
class Option:
    """A plan on sale, and what going over to it would cost, or why it cannot be."""

    plan: Plan
    price: Price
    is_current: bool
    # Nothing where the plan cannot be had.
    this_month: Month | None
    full_month: Month | None
    refusal: str

    @property
    def space_text(self) -> str:
        """From its first limit to its highest."""
        first, highest = self.plan.quota_bytes, self.plan.ceiling_bytes
        text = quotas.byte_text
        return (
            text(first)
            if first == highest
            else _("{first} to {highest}").format(first=text(first), highest=text(highest))
        )


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing before and after. `until_text` says how long the old still holds."""

    name: str
    before: str
    after: str
    until_text: str = ""

    @property
    def is_change(self) -> bool:
        """Whether anything changes at all."""
        return self.before != self.after


@dataclass(frozen=True, kw_only=True)
class Going:
    """What goes from one folder, and how many messages on which day."""

    folder: FolderPreview
    days: Mapping[datetime, int]


@dataclass(frozen=True, kw_only=True)
class Letters:
    """What becomes of the mail that is there, as the mail server tells."""

    hidden: Sequence[FolderUsage]
    preview: Preview
    # Nothing goes by the new rules before.
    rules_hold_from: datetime
    # Removed mail that the shorter window ends for.
    lost: Sequence[RemovedMessage]

    @property
    def lost_text(self) -> str:
        """How much could be brought back now and not then."""
        return _counted(len(self.lost), sum(message.bytes for message in self.lost))

    @property
    def going(self) -> list[Going]:
        """Folder by folder, what goes on which day."""
        return [
            Going(folder=found, days=self._days(found))
            for found in self.preview.folders
            if found.going
        ]

    def _days(self, found: FolderPreview) -> Mapping[datetime, int]:
        days: dict[datetime, int] = {}
        for day, count in sorted(found.days.items()):
            first = max(day, self.rules_hold_from)
            days[first] = days.get(first, 0) + count
        return days

    @property
    def hidden_text(self) -> str:
        """How much no POP program would show."""
        messages = sum(folder.messages for folder in self.hidden)
        return _counted(messages, sum(folder.bytes for folder in self.hidden))

    @property
    def may_gather(self) -> bool:
        """Whether some of it could move into the inbox."""
        return any(not switching.is_left_behind(folder.folder) for folder in self.hidden)


def options(mailbox: Mailbox, *, at: datetime) -> dict[str, list[Option]]:
    """The plans on sale that the owner's price list has a price for, by protocol."""
    price_list = pricing.list_for(mailbox.organisation)
    plans = list(Plan.objects.on_sale().select_related("retention_policy"))
    prices = pricing.prices_at(price_list=price_list, plans=plans, at=at)
    current = changing.running(mailbox).plan_id
    found: dict[str, list[Option]] = {protocol: [] for protocol in Mailbox.Protocol.values}
    for plan in plans:
        if plan.pk in prices:
            option = _option(mailbox, prices[plan.pk], is_current=plan.pk == current, at=at)
            found[plan.protocol].append(option)
    return found


def differences(proposal: Proposal, *, wait: timedelta, has_price: bool = True) -> list[Difference]:
    """Everything that could change, in the order of its weight; prices for whom they concern."""
    settled, mailbox = proposal.settled, proposal.settled.contract.mailbox
    until_text = _until_text(proposal.at + wait)
    effect = settled.effect
    return [
        Difference(
            name=_("Mail is read by"),
            before=settled.old_plan.get_protocol_display(),
            after=settled.plan.get_protocol_display(),
        ),
        Difference(
            name=_("Limit"),
            before=quotas.byte_text(mailbox.quota_bytes),
            after=quotas.byte_text(effect.terms.quota_bytes),
        ),
        *([_storage_price(proposal)] if has_price else []),
        Difference(
            name=_("Removed mail comes back for"),
            before=_days(mailbox.window_days),
            after=_days(effect.terms.window_days),
            until_text=until_text if effect.window_waits else "",
        ),
        *_rules(proposal, until_text=until_text if effect.rules_wait else ""),
        _tripwire(proposal, until_text=until_text if effect.rules_wait else ""),
    ]


def letters(proposal: Proposal, *, engine: Engine, wait: timedelta) -> Letters:
    """What becomes of the mail that is there; raises `EngineError`."""
    mailbox, effect = proposal.settled.contract.mailbox, proposal.settled.effect
    to_pop = effect.terms.protocol == Mailbox.Protocol.POP
    hidden = switching.out_of_sight(engine.folder_usage(user=mailbox.address)) if to_pop else []
    preview = previewing.under_plan(
        mailbox=mailbox,
        plan=effect.terms.policy,
        protocol=effect.terms.protocol,
        engine=engine,
        until=proposal.at + HORIZON,
        forgets=effect.is_switch and to_pop,
    )
    later = proposal.at + wait
    return Letters(
        hidden=hidden,
        preview=preview,
        rules_hold_from=later if effect.rules_wait else proposal.at,
        lost=_lost(proposal, at=later, engine=engine) if effect.window_waits else (),
    )


def _lost(proposal: Proposal, *, at: datetime, engine: Engine) -> list[RemovedMessage]:
    """What is in the store now, would be there by the old window, and not by the new one."""
    mailbox = proposal.settled.contract.mailbox
    search = RemovedSearch(
        since=at - timedelta(days=mailbox.window_days),
        until=at - timedelta(days=proposal.settled.effect.terms.window_days),
    )
    return engine.removed_mail(user=mailbox.address, search=search, headers=False)


@dataclass(frozen=True, kw_only=True)
class Device:
    """An app password, and whether it could sign in by the new protocol at all."""

    label: str
    last: presenting.SignIn | None
    is_shut_out: bool


def devices(mailbox: Mailbox, *, protocol: str) -> list[Device]:
    """Every device that must be set up anew for another protocol."""
    passwords = list(mailbox.app_passwords.filter(revoked_at__isnull=True).order_by("pk"))
    narrow = set(credentials.narrow_for(mailbox, protocol=protocol).values_list("pk", flat=True))
    last: dict[str, presenting.SignIn] = {}
    for sign_in in presenting.sign_ins(mailbox, passwords):
        last.setdefault(sign_in.device_id, sign_in)
    return [
        Device(
            label=password.label,
            last=last.get(password.uuid.hex),
            is_shut_out=password.pk in narrow,
        )
        for password in passwords
    ]


def _option(mailbox: Mailbox, price: Price, *, is_current: bool, at: datetime) -> Option:
    this_month, full_month, refusal = None, None, ""
    try:
        if is_current:
            this_month, full_month = changing.as_it_is(mailbox=mailbox, at=at)
        else:
            proposal = changing.propose(mailbox=mailbox, plan=price.plan, at=at)
            this_month, full_month = proposal.this_month, proposal.full_month
    except REFUSALS as reason:
        refusal = str(reason)
    return Option(
        plan=price.plan,
        price=price,
        is_current=is_current,
        this_month=this_month,
        full_month=full_month,
        refusal=refusal,
    )


def _storage_price(proposal: Proposal) -> Difference:
    settled = proposal.settled
    price_list = pricing.list_for(settled.contract.mailbox.organisation)
    plans = [settled.old_plan, settled.plan]
    prices = pricing.prices_at(price_list=price_list, plans=plans, at=proposal.at)
    before, after = (_storage_text(prices.get(plan.pk)) for plan in plans)
    return Difference(name=_("What you keep costs"), before=before, after=after)


def _storage_text(price: Price | None) -> str:
    if price is None or not price.storage_price:
        return _("nothing: one flat price")
    return _("{price} a GB and month above {included}").format(
        price=price.storage_price_text, included=quotas.byte_text(price.included_bytes)
    )


def _rules(proposal: Proposal, *, until_text: str) -> list[Difference]:
    """How long mail stays, folder by folder, where that changes."""
    mailbox, effect = proposal.settled.contract.mailbox, proposal.settled.effect
    moved = retention.under_plan(mailbox, plan=effect.terms.policy, protocol=effect.terms.protocol)
    old, new = retention.layers_of(mailbox), retention.layers_of(moved)
    # What POP does not show has no days that anybody would see pass.
    shows_inbox_only = effect.terms.protocol == Mailbox.Protocol.POP
    return [
        Difference(
            name=_("Mail in {folder} stays").format(folder=_folder_name(folder)),
            before=_stay(retention.decide(mailbox, folder, old)),
            after=_stay(retention.decide(moved, folder, new)),
            until_text=until_text,
        )
        for folder in (("INBOX",) if shows_inbox_only else ("INBOX", "Junk", "Trash"))
    ]


def _tripwire(proposal: Proposal, *, until_text: str) -> Difference:
    mailbox, plan = proposal.settled.contract.mailbox, proposal.settled.effect.terms.policy
    old = thresholds.of(mailbox)
    new = thresholds.Thresholds(
        messages=mailbox.trip_messages or plan.trip_messages,
        percent=mailbox.trip_percent or plan.trip_percent,
        minutes=mailbox.trip_minutes or plan.trip_minutes,
        fewest=mailbox.trip_fewest or plan.trip_fewest,
    )
    text = _(
        "{messages} messages or {percent} % removed within {minutes} minutes, from {fewest} on"
    )
    return Difference(
        name=_("The tripwire fires at"),
        before=text.format(**asdict(old)),
        after=text.format(**asdict(new)),
        until_text=until_text if new.is_weaker_than(old) else "",
    )


def _stay(decision: policy.Decision) -> str:
    if decision.days is None:
        return _("as long as you keep it")
    if decision.counted_from is policy.CountedFrom.DOWNLOAD:
        return _("{days} after a program fetched it").format(days=_days(decision.days))
    return _("{days} after it arrived there").format(days=_days(decision.days))


def _counted(messages: int, size: int) -> str:
    text = ngettext("{messages} message ({size})", "{messages} messages ({size})", messages)
    return text.format(messages=messages, size=quotas.byte_text(size))


def _folder_name(folder: str) -> str:
    return _("the inbox") if folder == switching.INBOX else folder


def _days(count: int) -> str:
    return ngettext("{count} day", "{count} days", count).format(count=count)


def _until_text(moment: datetime) -> str:
    return _("the old holds until {moment} UTC").format(moment=f"{moment:%-d %B, %H:%M}")
