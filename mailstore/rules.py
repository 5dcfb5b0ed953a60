"""Setting retention rules: what may be set where, and whether it makes mail less safe."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import Organisation
from mailstore import policy, retention
from mailstore.models import (
    Domain,
    Mailbox,
    ProtocolSwitch,
    RetentionPolicy,
    RetentionRule,
)
from mailstore.models.mailboxes import MailboxQuerySet

Target = Organisation | Domain | Mailbox | RetentionPolicy

# A folder of everybody's own making stands for all that have no special use.
_PROBES = (*policy.SPECIAL_USES, "Projects")


class WouldRemoveEverything(policy.RuleRefused):
    """The rule would leave nothing of what the mailbox holds."""


def above(target: Target) -> list[policy.Layer]:
    """The layers that a rule on this target stands below."""
    if isinstance(target, Mailbox):
        # Its own layer is the last one. By its name it would be taken for an organisation's.
        nothing = policy.Layer(name=retention.MAILBOX, rules=())
        own = retention.Trial(key=("mailbox", target.pk), layer=nothing)
        return retention.layers_of(target, trial=own)[:-1]
    if isinstance(target, RetentionPolicy):
        return []
    organisation = target.organisation if isinstance(target, Domain) else target
    lineage = (
        organisation.lineage[::-1] if isinstance(target, Domain) else (organisation.lineage[:0:-1])
    )
    rules = RetentionRule.objects.filter(organisation__in=lineage).select_related("organisation")
    by_organisation: dict[int, list[RetentionRule]] = {}
    for rule in rules:
        by_organisation.setdefault(rule.organisation_id or 0, []).append(rule)
    return [retention.layer(by_organisation[pk]) for pk in lineage if pk in by_organisation]


def own_rules(target: Target) -> list[RetentionRule]:
    """The rules that were set on the target itself."""
    return list(RetentionRule.objects.filter(**_owner(target)).order_by("folder"))


def check_bounds(*, target: Target, rule: policy.Rule) -> None:
    """Raise `policy.RuleRefused` unless the rule makes sense and the layers above allow it.

    Mailboxes below an organisation or a domain may have different plans. What one of these
    allows can be set; it holds where it may.
    """
    layers = above(target)
    policy.check(rule, above=layers)
    refusal: policy.RuleRefused | None = None
    for plan in _plans_below(target):
        try:
            policy.check(rule, above=[plan, *layers])
        except policy.RuleRefused as reason:
            refusal = reason
        else:
            return
    if refusal is not None:
        raise refusal


def trial(*, target: Target, rule: policy.Rule | None, folder: str = "") -> retention.Trial:
    """The target's layer as it would be with a rule, or without one for `folder`."""
    gone = rule.folder if rule else folder
    kept = tuple(row.as_rule for row in own_rules(target) if row.folder != gone)
    rules = (*kept, rule) if rule else kept
    key = ("plan", 0) if isinstance(target, RetentionPolicy) else (_kind(target), target.pk)
    return retention.Trial(key=key, layer=policy.Layer(name=_name(target), rules=rules))


def is_less_safe(*, target: Target, rule: policy.Rule | None, folder: str = "") -> bool:
    """Whether mail would go sooner anywhere than it does now, on the target or below it."""
    gone = rule.folder if rule else folder
    layers, old = above(target), _layer_of_rules(target)
    new = trial(target=target, rule=rule, folder=folder).layer
    plans = [[plan] for plan in _plans_below(target)] or [[]]
    named = (
        each.folder for some in [*plans, layers, [old, new]] for one in some for each in one.rules
    )
    probes = {*_PROBES, gone, *named} - {policy.EVERY_FOLDER, *policy.SPECIAL_USES.values()}
    return any(
        _loosens_bounds(probe, new=new, old=old)
        or any(
            _is_sooner(
                policy.decide(folder=probe, layers=[*plan, *layers, new]),
                policy.decide(folder=probe, layers=[*plan, *layers, old]),
            )
            for plan in plans
        )
        for probe in probes
    )


def _loosens_bounds(folder: str, *, new: policy.Layer, old: policy.Layer) -> bool:
    """Whether rules below, which the old bounds held back, take effect by the new ones."""
    bounds = policy.own_bounds(folder=folder, layer=new)
    return bounds.are_less_safe_than(policy.own_bounds(folder=folder, layer=old))


def is_plan_less_safe(*, mailbox: Mailbox, plan: RetentionPolicy, protocol: str) -> bool:
    """Whether mail of a mailbox would go sooner anywhere under another plan."""
    moved = retention.under_plan(mailbox, plan=plan, protocol=protocol)
    old, new = retention.layers_of(mailbox), retention.layers_of(moved)
    # A POP mailbox that was never anything else has an inbox only.
    was_imap = mailbox.is_imap or ProtocolSwitch.objects.filter(mailbox=mailbox).exists()
    named = {row.folder for layer in new for row in layer.rules}
    probes = {*_PROBES, *named} - {policy.EVERY_FOLDER, *policy.SPECIAL_USES.values()}
    return any(
        _is_sooner(
            retention.decide(moved, probe, new),
            retention.decide(mailbox, probe, old),
        )
        for probe in (probes if was_imap else {"INBOX"})
    )


@transaction.atomic
def set_rule(*, actor: Actor, target: Target, rule: policy.Rule, at: datetime) -> RetentionRule:
    """Set a rule that `checking.check_rule` let pass.

    What makes mail less safe comes here by `cooling`.
    """
    must_manage(actor, target)
    check_bounds(target=target, rule=rule)
    old_days = _days_of(target, rule.folder)
    row, _ = RetentionRule.objects.update_or_create(
        folder=rule.folder,
        **_owner(target),
        defaults={
            "counted_from": rule.counted_from.value,
            "days": rule.days,
            "floor_days": rule.floor_days,
            "ceiling_days": rule.ceiling_days,
            "changed_at": at,
        },
    )
    days = {"old": old_days, "new": rule.days}
    _changed(actor=actor, target=target, folder=rule.folder, days=days, at=at)
    return row


@transaction.atomic
def remove_rule(*, actor: Actor, target: Target, folder: str, at: datetime) -> None:
    """Take a rule away, so that the layers above decide again; without one nothing happens."""
    must_manage(actor, target)
    days = {"old": _days_of(target, folder), "new": None}
    if RetentionRule.objects.filter(folder=folder, **_owner(target)).delete()[0]:
        _changed(actor=actor, target=target, folder=folder, days=days, at=at)


def _days_of(target: Target, folder: str) -> int | None:
    rule = RetentionRule.objects.filter(folder=folder, **_owner(target)).first()
    return None if rule is None else rule.days


def mailboxes_under(target: Target) -> MailboxQuerySet:
    """The mailboxes that a rule on the target can reach."""
    standing = Mailbox.objects.standing()
    if isinstance(target, Mailbox):
        return standing.filter(pk=target.pk)
    if isinstance(target, Domain):
        return standing.filter(domain=target)
    if isinstance(target, RetentionPolicy):
        default = Q(retention_policy=None, protocol=target.slug)
        return standing.filter(
            Q(retention_policy=target) | Q(former_policy=target) | default,
        )
    return standing.filter(
        Q(organisation=target)
        | Q(organisation__parent=target)
        | Q(organisation__parent__parent=target),
    )


def _plans_below(target: Target) -> list[policy.Layer]:
    """What the plans in use say, where `above` cannot know which of them holds."""
    if isinstance(target, Mailbox | RetentionPolicy):
        return []
    used = mailboxes_under(target).order_by()
    kinds = used.values_list("retention_policy", "former_policy", "protocol").distinct()
    chosen = Q()
    for policy_id, former_id, protocol in kinds:
        chosen |= Q(pk=policy_id) if policy_id else Q(slug=protocol)
        chosen |= Q(pk__in=[former_id] if former_id else [])
    found = RetentionPolicy.objects.filter(chosen) if chosen else RetentionPolicy.objects.none()
    return [_layer_of_rules(one) for one in found]


def _is_sooner(new: policy.Decision, old: policy.Decision) -> bool:
    if new.days is None:
        return False
    if old.days is None or new.days < old.days:
        return True
    is_arrival = new.counted_from is policy.CountedFrom.ARRIVAL
    return is_arrival and old.counted_from is policy.CountedFrom.DOWNLOAD


def _layer_of_rules(target: Target) -> policy.Layer:
    return policy.Layer(name=_name(target), rules=tuple(row.as_rule for row in own_rules(target)))


def _name(target: Target) -> str:
    if isinstance(target, Mailbox):
        return retention.MAILBOX
    return retention.PLAN if isinstance(target, RetentionPolicy) else str(target)


def _owner(target: Target) -> dict[str, Any]:
    if isinstance(target, RetentionPolicy):
        return {"policy": target}
    return {_kind(target): target}


def _kind(target: Organisation | Domain | Mailbox) -> str:
    return type(target).__name__.lower()


def must_manage(actor: Actor, target: Target) -> None:
    """Raise `Forbidden` unless the actor may change the rules of what is named."""
    if isinstance(target, RetentionPolicy):
        refusal = "Only operators of the house change what everybody's plan says."
        actor.must_everywhere(Capability.RUN_HOUSE, refusal=refusal)
        return
    owner = target if isinstance(target, Organisation) else target.organisation
    actor.must(Capability.MANAGE_MAIL, lineage=owner.lineage)


def _changed(
    *, actor: Actor, target: Target, folder: str, days: dict[str, int | None], at: datetime
) -> None:
    mailboxes_under(target).lock().update(retention_due_at=None)
    if isinstance(target, RetentionPolicy):
        organisation = Organisation.objects.get(kind=Organisation.Kind.PROVIDER)
        subject = ("retention_policy", target.slug, target.name)
    elif isinstance(target, Organisation):
        organisation, subject = target, ("organisation", str(target.uuid), target.name)
    else:
        organisation = target.organisation
        subject = (_kind(target), str(target.uuid), str(target))
    outbox.record(
        kind="retention.policy_changed",
        at=at,
        actor=actor,
        organisation=organisation,
        subject=subject,
        data={"folder": folder, "days": days},
    )
