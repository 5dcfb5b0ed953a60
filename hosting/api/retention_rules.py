"""Retention rules of organisations, domains and mailboxes, and what a rule would remove."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Literal, cast
from uuid import UUID

from django.conf import settings
from rest_framework import serializers

from accounts.models import Organisation
from hosting import public_ids
from hosting.api import cost_previews, folder_previews, pending_changes, targets
from hosting.api.contract import Answer, Call, operation
from hosting.api.cost_previews import SavingDocument
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, Flag, Text, Whole
from hosting.api.filters import by_id
from hosting.api.folder_previews import AmountDocument, FolderPreviewDocument
from hosting.api.listing import Listing
from hosting.api.loading import Things
from hosting.api.moments import Moment
from hosting.api.pending_changes import Outcome
from hosting.api.problems import invalid
from hosting.api.targets import TargetBody, TargetIds
from mailstore import checking, cooling, policy, previewing, rules, standing
from mailstore.engine import engine
from mailstore.models import RetentionRule
from mailstore.models.retention import RetentionRuleQuerySet

CountedFromName = Literal["arrival", "download"]


class RetentionRuleDocument(TargetIds):
    r"""After how many days mail leaves a folder; null stands for never.

    `folder` is a name, a special use such as `\Junk`, or `*` for every folder that no other
    rule of the same place names. The least and most days bound the rules below.
    """

    object: Literal["retention_rule"]
    id: str
    folder: str
    days: int | None
    counted_from: CountedFromName
    floor_days: int | None
    ceiling_days: int | None
    changed_at: Moment


class RuleOutcome(Outcome):
    """What became of a rule: it holds, or it waits because mail would go sooner by it."""

    rule: RetentionRuleDocument | None


class PreviewDocument(TargetIds):
    """What rules remove until a moment; nothing was changed by asking.

    `going_now` is what goes by the rules as they are, `going` with what is tried out. Where
    `looked_at_count` is less than `mailbox_count`, only so many mailboxes were counted. From
    `stopped_count` of them nothing goes, because they are held or frozen. `monthly_savings`, what
    a month costs less at today's prices without what goes, needs the scope `invoices:read`.
    """

    object: Literal["retention_preview"]
    until: Moment
    mailbox_count: int
    looked_at_count: int
    stopped_count: int
    monthly_savings: list[SavingDocument] | None
    going_now: AmountDocument
    going: AmountDocument
    folders: list[FolderPreviewDocument]


def _days(**options: Any) -> Whole:
    return Whole(min_value=1, max_value=policy.LONGEST_DAYS, allow_null=True, **options)


class RuleBody(Body):
    """One rule."""

    folder = Text(max_length=255, trim_whitespace=False)
    days = _days()
    counted_from = serializers.ChoiceField(
        choices=[each.value for each in policy.CountedFrom], required=False
    )
    floor_days = _days(required=False)
    ceiling_days = _days(required=False)


class SetRuleBody(TargetBody):
    """Where a rule is set, and the rule."""

    rule = RuleBody()
    is_new_folder = Flag(required=False)


class PreviewBody(TargetBody):
    """What is looked at, with a rule on trial, or without the rule for a folder."""

    rule = RuleBody(required=False)
    is_new_folder = Flag(required=False)
    without_folder = Text(max_length=255, trim_whitespace=False, required=False)
    horizon_days = Whole(min_value=0, max_value=previewing.LONGEST_HORIZON_DAYS, required=False)


def documents(found: Sequence[RetentionRule]) -> list[RetentionRuleDocument]:
    """Rules that `_rows` gave."""
    return [_document(rule) for rule in found]


def _document(rule: RetentionRule) -> RetentionRuleDocument:
    ids = targets.ids_of(organisation=rule.organisation, domain=rule.domain, mailbox=rule.mailbox)
    return {
        **ids,
        "object": "retention_rule",
        "id": public_ids.encode("rtp", rule.uuid),
        "folder": rule.folder,
        "days": rule.days,
        "counted_from": cast("CountedFromName", rule.counted_from),
        "floor_days": rule.floor_days,
        "ceiling_days": rule.ceiling_days,
        "changed_at": Moment(rule.changed_at),
    }


RETENTION_RULES: Listing[RetentionRule] = Listing(
    shown=documents,
    document=RetentionRuleDocument,
    filters={
        "organisation_id": by_id("org", "organisation__uuid", "Set on one organisation."),
        "domain_id": by_id("dom", "domain__uuid", "Set on one domain."),
        "mailbox_id": by_id("mbx", "mailbox__uuid", "Set on one mailbox."),
    },
)


def _rows(call: Call) -> RetentionRuleQuerySet:
    return RetentionRule.objects.visible_to(call.actor).select_related(
        "organisation__parent", "domain__organisation__parent", "mailbox__organisation__parent"
    )


def _target(rule: RetentionRule) -> targets.Target:
    found = rule.organisation or rule.domain or rule.mailbox
    assert found is not None  # noqa: S101  # A plan's rules are not among `_rows`.
    return found


RULE: Things[RetentionRule] = Things(
    rows=_rows,
    lives_in=lambda rule: targets.owner_of(_target(rule)),
    locks=RetentionRule.objects.select_for_update(),
    document=lambda _call, rule: _document(rule),
)


def _lock_owner(rule: RetentionRule) -> None:
    target = _target(rule)
    standing.lock(target if isinstance(target, Organisation) else target.organisation)


def _rule(asked: dict[str, Any]) -> policy.Rule:
    return policy.Rule(
        folder=asked["folder"],
        days=asked["days"],
        counted_from=policy.CountedFrom(asked.get("counted_from", "arrival")),
        floor_days=asked.get("floor_days"),
        ceiling_days=asked.get("ceiling_days"),
    )


class RetentionRules(Endpoint):
    """All rules that were set below the plans."""

    @operation(
        name="list_retention_rules",
        scope="retention:read",
        lists=RETENTION_RULES,
    )
    def get(self, call: Call) -> Answer:
        """List the rules that were set on organisations, domains and mailboxes."""
        return RETENTION_RULES.page(call, _rows(call))

    @operation(
        name="set_retention_rule",
        scope="retention:write",
        takes=SetRuleBody,
        gives=RuleOutcome,
        may_wait=True,
        problems=("backend-unavailable",),
    )
    def post(self, call: Call) -> Answer:
        """Set the rule for a folder, or replace it: 200 if it holds at once, 202 if it waits."""
        target, rule = targets.named(call), _rule(call.asked["rule"])
        change = cooling.ask_rule(
            actor=call.actor,
            target=target,
            rule=rule,
            engine=engine(),
            wait=settings.COOLING_OFF,
            at=call.at,
            now=call.now,
            is_new_folder=call.asked.get("is_new_folder", False),
        )
        answer = pending_changes.outcome(change)
        if change is not None:
            return Answer(
                document={**answer.document, "rule": None}, status=202, location=answer.location
            )
        shown = _document(next(row for row in rules.own_rules(target) if row.folder == rule.folder))
        where = f"/api/v1/retention-policies/{shown['id']}"
        return Answer(
            document={**answer.document, "rule": shown}, location=where, etag=RULE.version_of(shown)
        )


class OneRetentionRule(Endpoint):
    """One rule."""

    @operation(name="get_retention_rule", scope="retention:read", gives=RetentionRuleDocument)
    def get(self, call: Call, *, rule: UUID) -> Answer:
        """Show a rule."""
        return RULE.answer(call, RULE.load(call, rule))

    @operation(
        name="delete_retention_rule",
        scope="retention:write",
        gives=Outcome,
        may_wait=True,
        problems=("backend-unavailable",),
    )
    def delete(self, call: Call, *, rule: UUID) -> Answer:
        """Take a rule away, so that those above decide: 202 if mail would go sooner by it."""
        found = RULE.locked(call, rule, first=_lock_owner)
        change = cooling.ask_rule_removal(
            actor=call.actor,
            target=_target(found),
            folder=found.folder,
            engine=engine(),
            wait=settings.COOLING_OFF,
            at=call.at,
            now=call.now,
        )
        return pending_changes.outcome(change)


class RetentionPreview(Endpoint):
    """What rules would remove."""

    @operation(
        name="preview_retention",
        scope="retention:read",
        takes=PreviewBody,
        gives=PreviewDocument,
        problems=("backend-unavailable",),
    )
    def post(self, call: Call) -> Answer:
        """Count what goes by the rules as they are, or as they are tried out. Nothing changes."""
        target = targets.named(call)
        rule = _rule(call.asked["rule"]) if "rule" in call.asked else None
        if rule is not None and "without_folder" in call.asked:
            message = "Try out a rule, or what goes without one, but not both."
            raise invalid("/without_folder", message, code="one_of")
        days = call.asked.get("horizon_days", previewing.HORIZON_DAYS)
        until = call.now + timedelta(days=days)
        now, then = checking.compare(
            target=target,
            engine=engine(),
            until=until,
            rule=rule,
            without_folder=call.asked.get("without_folder", ""),
            is_new_folder=call.asked.get("is_new_folder", False),
        )
        document: PreviewDocument = {
            **_ids(target),
            "object": "retention_preview",
            "until": Moment(until),
            "mailbox_count": then.mailboxes,
            "looked_at_count": then.looked_at,
            "stopped_count": then.stopped,
            "monthly_savings": cost_previews.savings(call, then.bytes_of),
            "going_now": folder_previews.amount(now),
            "going": folder_previews.amount(then),
            "folders": folder_previews.documents(then.folders),
        }
        return Answer(document=document)


def _ids(target: targets.Target) -> TargetIds:
    chosen: dict[str, Any] = {"organisation": None, "domain": None, "mailbox": None}
    return targets.ids_of(**{**chosen, type(target).__name__.lower(): target})
