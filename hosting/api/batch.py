"""Many things in one call: all of them are checked before any is done, and all are done or none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from rest_framework import serializers

from accounts.access import Actor, Forbidden
from hosting import importing, limits, ordering, quoting
from hosting.api import batch_documents, cost_previews, devices, mailboxes
from hosting.api.batch_documents import BatchDocument, Costs, ItemDocument
from hosting.api.contract import Answer, Call, operation
from hosting.api.endpoint import Endpoint
from hosting.api.fields import Body, PublicId, Text
from hosting.api.mailbox_documents import documents, documents_of_new, facts_of
from hosting.api.problems import Fault, Problem
from hosting.api.refusals import faults_of, figures_of, problem_of
from hosting.importing import Row
from hosting.limits import LimitReached
from hosting.models import Plan
from mailstore import provisioning, quotas
from mailstore.models import Domain, Mailbox

MOST_ITEMS = 500
_SERVER_ERROR = 500
_CREATE, _UPDATE = "create_mailbox", "update_mailbox"
_SUSPEND, _RESUME = "suspend_mailbox", "resume_mailbox"
# What these are about, where the verb that refuses knows no names of fields.
_FIELDS = {"already-exists": "/external_ref", "quota-over-plan": "/quota_bytes"}
_UNSOLD = "/body/plan", "wrong-state"
OPERATIONS = (_CREATE, _UPDATE, _SUSPEND, _RESUME)


class Content(serializers.DictField):
    """What an operation takes; which one it is says another field, so it is checked after that."""


class ItemBody(Body):
    """One thing to do. `key` names it in the answer; `mailbox_id` is what it is done to.

    `create_mailbox` names no mailbox, and each other operation does. `body` is what the call of
    its own takes; to suspend and to resume take nothing.
    """

    key = Text(max_length=120)
    operation = serializers.ChoiceField(choices=OPERATIONS)
    mailbox_id = PublicId("mbx", required=False)
    body = Content(
        required=False, help_text="The first to create a mailbox, the second to update one."
    )


class Items(serializers.ListField):
    """Each is checked by itself, so that all that is wrong is found in one go."""

    child = serializers.DictField()


class BatchBody(Body):
    """Up to 500 things to do."""

    items = Items(min_length=1, max_length=MOST_ITEMS)


@dataclass(frozen=True, kw_only=True)
class Item:
    """An item whose form has been checked."""

    index: int
    key: str
    operation: str
    mailbox_uuid: UUID | None
    asked: Mapping[str, Any]


class Faults(list[Fault]):
    """What is wrong with the items, each found by its place."""

    def add(self, item: Item, error: Exception) -> None:
        """What a verb refuses; raises the error if it is not about the item."""
        problem = problem_of(error)
        if problem.status >= _SERVER_ERROR:
            raise error
        whole = Fault(
            pointer=_FIELDS.get(problem.code, ""), code=problem.code, message=problem.detail
        )
        for fault in problem.faults or [whole]:
            pointer = f"/items/{item.index}/body{fault.pointer}"
            self.append(replace(fault, pointer=pointer))

    def add_limit(self, index: int, refusal: LimitReached, actor: Actor) -> None:
        """A limit that leaves no room for an item."""
        fault = Fault(
            pointer=f"/items/{index}/body",
            code="limit-reached",
            message=str(refusal),
            members=figures_of(refusal, actor),
        )
        self.append(fault)

    def say(self, index: int, pointer: str, code: str, message: str) -> None:
        """What this module refuses itself."""
        self.append(Fault(pointer=f"/items/{index}{pointer}", code=code, message=message))

    def raise_any(self) -> None:
        """Raise a problem if anything is wrong."""
        if self:
            detail = "Nothing was done, because some items cannot be; `errors` says which and why."
            raise Problem(code="validation-failed", detail=detail, faults=self)


class Batch(Endpoint):
    """Many things in one call."""

    @operation(
        name="run_batch",
        scope="mailboxes:write",
        takes=BatchBody,
        gives=BatchDocument,
        parameters={"dry_run": "`true` tries everything and lets nothing of it stay."},
    )
    def post(self, call: Call) -> Answer:
        """Do up to 500 things at once.

        If one item cannot be done, none is, and `errors` points to each that cannot: first to
        those whose form or target is wrong, then to those that a limit or a state stops. A dry
        run finds the same, and says to keys with the scope `invoices:read` what new mailboxes
        cost; no other operation of a batch has a price. An app password needs the scope
        `passwords:write` as well.
        """
        faults = Faults()
        items = list(_items(call.asked["items"], faults))
        if any("app_password" in item.asked for item in items):
            call.must_have("passwords:write")
        orders = _Orders(call, [item for item in items if item.operation == _CREATE], faults)
        orders.lock_limits()
        changes = _Changes(call, [item for item in items if item.operation != _CREATE], faults)
        faults.raise_any()
        is_dry_run = call.flag("dry_run")
        with transaction.atomic():
            done = {**orders.carry_out(), **changes.carry_out()}
            faults.raise_any()
            if is_dry_run:
                # All of it was done, so nothing can be found out later that was not found out now.
                transaction.set_rollback(True)
        found = [done[item.key] for item in items]
        if not is_dry_run:
            return batch_documents.done(found)
        return batch_documents.tried(found, orders.costs() if cost_previews.are_for(call) else None)


def _items(found: Sequence[Any], faults: Faults) -> Iterator[Item]:
    """The items whose form is right; the others go to `faults`."""
    forms = {
        _CREATE: mailboxes.OrderBody(),
        _UPDATE: mailboxes.ChangeBody(partial=True),
        _SUSPEND: Body(),
        _RESUME: Body(),
    }
    outer = ItemBody()
    keys: set[str] = set()
    for index, each in enumerate(found):
        named = _checked(outer, each, f"/items/{index}", faults)
        if named is None:
            continue
        asked = _checked(
            forms[named["operation"]], named.get("body", {}), f"/items/{index}/body", faults
        )
        if named["key"] in keys:
            faults.say(index, "/key", "duplicate", "Another item has the same key.")
        keys.add(named["key"])
        uuid = named.get("mailbox_id")
        if (uuid is None) == (named["operation"] != _CREATE):
            message = "It names the mailbox of each operation but create_mailbox."
            faults.say(index, "/mailbox_id", "required", message)
        elif asked is not None:
            yield Item(
                index=index,
                key=named["key"],
                operation=named["operation"],
                mailbox_uuid=uuid,
                asked=asked,
            )


def _checked(form: Body, data: Any, pointer: str, faults: Faults) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = form.run_validation(data)
    except serializers.ValidationError as error:
        faults.extend(faults_of(error.detail, pointer))
        return None
    return found


class _Orders:
    """The mailboxes that are to be opened, in a few queries however many."""

    def __init__(self, call: Call, items: Sequence[Item], faults: Faults) -> None:
        self._call, self._items, self._faults = call, items, faults
        self._plans = (
            {plan.slug: plan for plan in Plan.objects.on_sale().select_related("retention_policy")}
            if items
            else {}
        )
        self._domains = _domains(call, items)
        self._rows = [row for item in items if (row := self._row(item)) is not None]
        self._refuse_taken()

    def lock_limits(self) -> None:
        """Keep what is left below the limits. It comes before the lock of any mailbox."""
        if self._rows:
            limits.lock_rows({row.domain.organisation for row in self._rows})

    def carry_out(self) -> dict[str, ItemDocument]:
        """Open them; what is beyond a limit, or was taken just now, goes to the faults.

        Where the faults are raised, whatever was opened is undone.
        """
        if not self._rows:
            return {}
        try:
            with transaction.atomic():
                opened = importing.open_rows(self._rows, actor=self._call.actor, at=self._call.at)
        except IntegrityError:
            # Somebody took an address or a reference after it was looked for.
            self._refuse_taken()
            self._faults.raise_any()
            raise
        for beyond in opened.beyond:
            if isinstance(beyond.refusal, LimitReached):
                self._faults.add_limit(beyond.row.line, beyond.refusal, self._call.actor)
            else:
                self._faults.say(beyond.row.line, *_UNSOLD, str(beyond.refusal))
        for mailbox, row in zip(opened.mailboxes, self._rows, strict=False):
            mailbox.organisation = row.domain.organisation
            mailbox.plan_slug = row.plan.slug  # type: ignore[attr-defined]
            mailbox.retention_policy = row.plan.retention_policy
        secrets = {each.app_password.mailbox_id: each for each in opened.issued}
        shown = documents_of_new([facts_of(mailbox) for mailbox in opened.mailboxes])
        keys = {item.index: item.key for item in self._items}
        return {
            keys[row.line]: {
                "key": keys[row.line],
                "status": 201,
                "document": document,
                "app_password": devices.shown_once(secrets.get(mailbox.pk)),
                "cost": None,
            }
            for row, mailbox, document in zip(
                self._rows, opened.mailboxes, shown, strict=not opened.problems
            )
        }

    def costs(self) -> Costs:
        """What they cost, one by one and together, in a few queries however many."""
        keys = {item.index: item.key for item in self._items}
        sold = {keys[row.line]: (row.domain.organisation, row.plan) for row in self._rows}
        quotes = quoting.Quotes([owner for owner, _plan in sold.values()], at=self._call.at)
        return Costs(
            of_items={key: quotes.of(*each) for key, each in sold.items()},
            totals=quotes.totals(sold.values()),
        )

    def _row(self, item: Item) -> Row | None:
        """What is to be opened, with the item's place as its line."""
        asked = item.asked
        domain, plan = self._domains.get(asked["domain_id"]), self._plans.get(asked["plan"])
        if domain is None:
            message = "There is no such domain, or none that you may use."
            self._faults.say(item.index, "/body/domain_id", "invalid", message)
        if plan is None:
            message = "No plan of this name is on sale."
            self._faults.say(item.index, "/body/plan", "invalid", message)
        if domain is None or plan is None:
            return None
        try:
            return self._judged(item, domain, plan)
        except (
            ValidationError,
            provisioning.NoNewMailboxes,
            ordering.LimitAbovePlan,
            quotas.ImpossibleLimit,
            Forbidden,
        ) as refusal:
            self._faults.add(item, refusal)
        return None

    def _judged(self, item: Item, domain: Domain, plan: Plan) -> Row:
        asked, actor = item.asked, self._call.actor
        quota_bytes = asked.get("quota_bytes", plan.quota_bytes)
        ordering.check_limit(actor=actor, plan=plan, quota_bytes=quota_bytes)
        return Row(
            line=item.index,
            domain=domain,
            local_part=provisioning.check(
                actor=actor, domain=domain, local_part=asked["local_part"]
            ),
            plan=plan,
            label=asked.get("label", ""),
            quota_bytes=quota_bytes,
            device=asked.get("app_password", {}).get("label", ""),
            external_ref=asked.get("external_ref", ""),
            labels=asked.get("labels", {}),
        )

    def _refuse_taken(self) -> None:
        """Addresses and references that stand already, here or in the table."""
        names = [row.address for row in self._rows]
        standing = Mailbox.objects.standing()
        taken = Counter(standing.filter(address__in=names).values_list("address", flat=True))
        taken.update(names)
        owned = [
            (row.domain.organisation_id, row.external_ref) for row in self._rows if row.external_ref
        ]
        used = Counter(owned)
        if owned:
            refs = standing.filter(external_ref__in=[ref for _owner, ref in owned])
            used.update(refs.values_list("organisation_id", "external_ref"))
        for row in self._rows:
            if taken[row.address] > 1:
                message = f"{row.address} is taken."
                self._faults.say(row.line, "/body/local_part", "address-taken", message)
            if used[(row.domain.organisation_id, row.external_ref)] > 1:
                message = "Another mailbox of this organisation has this reference."
                self._faults.say(row.line, "/body/external_ref", "already-exists", message)


def _domains(call: Call, items: Sequence[Item]) -> dict[UUID, Domain]:
    wanted = {item.asked["domain_id"] for item in items}
    visible = Domain.objects.visible_to(call.actor).filter(uuid__in=wanted)
    return {domain.uuid: domain for domain in visible.select_related("organisation__parent")}


class _Changes:
    """What is to be done to mailboxes that stand."""

    def __init__(self, call: Call, items: Sequence[Item], faults: Faults) -> None:
        self._call, self._items, self._faults = call, items, faults
        wanted = [item.mailbox_uuid for item in items if item.mailbox_uuid is not None]
        Mailbox.objects.filter(uuid__in=wanted).lock()
        visible = mailboxes.rows(call.actor).standing().filter(uuid__in=wanted)
        found = visible.select_related(*mailboxes.PEOPLE) if items else []
        self._found = {mailbox.uuid: mailbox for mailbox in found}
        for item in items:
            if item.mailbox_uuid not in self._found:
                message = "There is no such mailbox, or none that you may see."
                faults.say(item.index, "/mailbox_id", "not-found", message)

    def carry_out(self) -> dict[str, ItemDocument]:
        """Do them in their order. What a verb refuses undoes all."""
        work: dict[str, Callable[[Item, Mailbox], None]] = {
            _UPDATE: self._update,
            _SUSPEND: self._suspend,
            _RESUME: self._resume,
        }
        for item in self._items:
            try:
                self._call.live_by(self._mailbox(item).organisation)
                work[item.operation](item, self._mailbox(item))
            except Exception as error:  # noqa: BLE001  # it becomes a fault of this item
                self._faults.add(item, error)
        shown = documents([facts_of(self._mailbox(item)) for item in self._items])
        return {
            item.key: batch_documents.changed(item.key, each)
            for item, each in zip(self._items, shown, strict=True)
        }

    def _mailbox(self, item: Item) -> Mailbox:
        assert item.mailbox_uuid is not None  # noqa: S101  # the form says so
        return self._found[item.mailbox_uuid]

    def _update(self, item: Item, mailbox: Mailbox) -> None:
        mailboxes.change(self._call, mailbox, item.asked)

    def _suspend(self, _item: Item, mailbox: Mailbox) -> None:
        call = self._call
        provisioning.suspend(actor=call.actor, mailbox=mailbox, at=call.at, now=call.now)

    def _resume(self, _item: Item, mailbox: Mailbox) -> None:
        provisioning.resume(actor=self._call.actor, mailbox=mailbox, at=self._call.at)
