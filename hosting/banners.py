"""What stands on every page while something is stopped, or soon will be, and how to end it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.access import ROLE_CAPABILITIES, Capability
from accounts.models import SWITCHES, Membership, Organisation, User
from accounts.second_factor.demanding import Standing
from hosting.dunning import debts, words
from hosting.models import Dunning
from hosting.steps import following, last_stop
from mailstore.models import Restriction

_BELOW = [name for name in SWITCHES if name.endswith("_below")]
_OWN = [name for name in SWITCHES if not name.endswith("_below")]


@dataclass(frozen=True, kw_only=True)
class Banner:
    """One organisation, one cause: what holds now, what comes next, and what ends it."""

    title: str
    lines: list[str] = field(default_factory=list)
    # "near" for what is to come, "full" while something is stopped.
    level: str = "full"
    can_pay: bool = False
    # The organisation whose closing can be taken back here.
    keep: UUID | None = None
    # Whether a second factor can be set up from here.
    can_enrol: bool = False


def for_user(user: User, *, house_name: str, seller_id: int | None = None) -> list[Banner]:
    """The banners of a person's own organisations. One query for everybody with none.

    At a reseller's own host, only those in its tree.
    """
    found = Membership.objects.filter(concerned(), user=user)
    if seller_id is not None:
        tree = Q(organisation=seller_id) | Q(organisation__parent=seller_id)
        found = found.filter(tree)
    members = found.select_related("organisation__parent").order_by("organisation")
    return [banner for member in members for banner in _of(member, house_name)]


def of_factor(standing: Standing | None) -> list[Banner]:
    """Until when a second factor is asked for, as long as the person has none."""
    if standing is None or standing.has_factor or standing.due_at is None:
        return []
    title = _("%(name)s asks everybody for a second factor.") % {"name": standing.demanded_by}
    line = _("From %(day)s on you come in only once you have set yours up. It takes two minutes.")
    day = words.day_text(standing.due_at.date())
    return [Banner(title=title, lines=[line % {"day": day}], level="near", can_enrol=True)]


def concerned() -> Q:
    """Memberships in organisations of which there is something to say."""
    running = Dunning.objects.open().filter(customer=OuterRef("organisation"))
    stopped = ~Q(organisation__state=Organisation.State.ACTIVE) | Q(Exists(running))
    for name in _BELOW:
        stopped |= ~Q(**{f"organisation__parent__{name}": SWITCHES[name][0]})
    return stopped & Q(organisation__parent__isnull=False)


def _of(member: Membership, house_name: str) -> list[Banner]:
    organisation = member.organisation
    found = []
    run = Dunning.objects.open().filter(customer=organisation).first()
    if run is not None:
        found.append(_of_debt(run, member))
    causes = Restriction.objects.standing().filter(organisation=organisation)
    others = causes.exclude(cause=Restriction.Cause.DEBT).order_by("pk")
    found.extend(_of_restriction(restriction, member, house_name) for restriction in others)
    if organisation.parent is not None:
        found.extend(_of_parent(organisation, organisation.parent))
    return found


def _of_debt(run: Dunning, member: Membership) -> Banner:
    stop, customer = last_stop(settings.DUNNING_STEPS, run.day), member.organisation
    can_pay = Capability.SEE_BILLS in ROLE_CAPABILITIES[member.role]
    lines = [words.effect(stop)]
    lines += _what_comes(run)
    if run.paused_at is not None:
        lines.append(_("Reminders are paused. Nothing more is stopped until they go on."))
    lines.append(_("Payment gives back at once whatever was stopped."))
    return Banner(
        title=f"{customer}: {_owed_text(run, can_see=can_pay)}",
        lines=lines,
        level="full" if stop.stops else "near",
        can_pay=can_pay,
    )


def _what_comes(run: Dunning) -> list[str]:
    """The next stop with its day, or the earliest it can have while only a letter is next."""
    steps = [step for step in settings.DUNNING_STEPS if step.action.stops]
    step = following(steps, run.day)
    if step is None or run.next_on is None or run.paused_at is not None:
        return []
    if step.day == run.next_day:
        text = _("From %(day)s, unless it is paid: %(effect)s")
        day = run.next_on
    else:
        text = _("Not before %(day)s, and after another letter: %(effect)s")
        earliest = run.next_on + timedelta(days=step.notice_days)
        day = max(run.due_on + timedelta(days=step.day), earliest)
    return [text % {"day": words.day_text(day), "effect": words.effect(step.action)}]


def _owed_text(run: Dunning, *, can_see: bool) -> str:
    """How much, for whoever may see it."""
    if not can_see:
        return _("a bill is not paid. Your owners can see it.")
    debt = debts.of([run.customer_id], at=timezone.now()).get(run.customer_id)
    if debt is None:
        return _("your payment has come in.")
    values = {"total": debt.total_text, "day": words.day_text(debt.due_on)}
    return _("%(total)s was due on %(day)s.") % values


def _of_restriction(restriction: Restriction, member: Membership, house_name: str) -> Banner:
    organisation = member.organisation
    if restriction.cause == Restriction.Cause.WISH:
        can_keep = Capability.MANAGE_PEOPLE in ROLE_CAPABILITIES[member.role]
        until = words.day_text((restriction.imposed_at + settings.CLOSING_GRACE).date())
        back = _("Until %(day)s all mailboxes can be taken back together. Then they are erased.")
        return Banner(
            title=_("%(name)s is closed.") % {"name": organisation},
            lines=[restriction.reason, back % {"day": until}],
            keep=organisation.uuid if can_keep else None,
        )
    title = _("%(name)s is stopped by %(house)s.")
    is_above = restriction.cause == Restriction.Cause.ABOVE
    return Banner(
        title=title
        % {
            "name": organisation,
            "house": organisation.parent if is_above else house_name,
        },
        lines=[restriction.reason, *stopped_lines(restriction)],
    )


def stopped_lines(restriction: Restriction) -> list[str]:
    """Each switch of the organisation itself, in words."""
    return [f"{getattr(restriction, f'get_{name}_display')()}." for name in _OWN]


def _of_parent(organisation: Organisation, parent: Organisation) -> list[Banner]:
    stops = {
        name: getattr(parent, name) for name in _BELOW if getattr(parent, name) != SWITCHES[name][0]
    }
    if not stops:
        return []
    title = _("%(name)s: something at %(reseller)s is open that concerns your mail.")
    ask = _("Ask %(reseller)s about it. Nothing of yours is removed because of it.")
    names = {"name": organisation, "reseller": parent}
    return [Banner(title=title % names, lines=[words.effect_below(stops), ask % names])]
