"""Asking for a file, and giving it up before its time."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from django.db import transaction

from accounts import outbox
from accounts.access import Actor, Capability
from accounts.models import ApiKey, Organisation
from hosting import billing, clocks, pricing, searching
from hosting.exports import keeping, telling
from hosting.exports.wanting import NotWanted, Wanted
from hosting.models import Export
from hosting.periods import Period

Kind = Export.Kind
# All keys of an organisation together: files take room for a week.
MOST_STANDING = 100
_NEEDED = {
    Kind.USAGE: Capability.SEE_BILLS,
    Kind.INVOICE_LINES: Capability.SEE_BILLS,
    Kind.CUSTOMERS: Capability.SEE,
    Kind.ACTIVITY: Capability.SEE,
    # A proof leaves nothing out, so it is for owners.
    Kind.ACTIVITY_PROOF: Capability.MANAGE_KEYS,
}


class ExportRefused(Exception):
    """There is no such file; `field` names what was asked for wrongly."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class TooManyExports(Exception):
    """So many files of one organisation are kept already."""


class NothingToDiscard(Exception):
    """The file is gone already, or there never was one."""


@transaction.atomic
def ask(
    *,
    actor: Actor,
    by: ApiKey,
    organisation: Organisation,
    kind: str,
    wanted: Wanted,
    at: datetime,
) -> Export:
    """Have a file written in the background; load `parent` with the organisation.

    The key needs the scopes of `wanting.scopes_for`, which its door asks for. Raises
    `ExportRefused`, `TooManyExports` or `Forbidden`.
    """
    actor.must(_NEEDED[Kind(kind)], lineage=organisation.lineage)
    try:
        wanted.check(kind)
    except NotWanted as refusal:
        raise ExportRefused(str(refusal), field=refusal.field) from refusal
    _refuse_unknown(actor, organisation, kind)
    if kind in {Kind.USAGE, Kind.INVOICE_LINES}:
        _refuse_month(organisation, kind, wanted.period(), at=at)
    Organisation.objects.select_for_update(no_key=True).get(pk=by.organisation_id)
    standing = Export.objects.standing().filter(created_by_key__organisation=by.organisation_id)
    if standing.count() >= MOST_STANDING:
        message = f"{MOST_STANDING} exports are kept already. Remove some, or wait for their end."
        raise TooManyExports(message)
    export = Export.objects.create(
        kind=kind,
        organisation=organisation,
        wanted=wanted.as_data(),
        created_by_key=by,
        created_at=at,
    )
    outbox.nudge("hosting.write_export", export_id=export.pk)
    return export


def _refuse_unknown(actor: Actor, organisation: Organisation, kind: str) -> None:
    if kind == Kind.CUSTOMERS:
        if organisation.pk not in searching.sellers_of(actor):
            message = "Only the customers of the key's own organisation are exported."
            raise ExportRefused(message, field="organisation_id")
    elif not Organisation.objects.visible_to(actor).filter(pk=organisation.pk).exists():
        message = "Name an organisation that the key reaches."
        raise ExportRefused(message, field="organisation_id")


def _refuse_month(organisation: Organisation, kind: str, month: Period, *, at: datetime) -> None:
    if month > Period.of(clocks.moment_for(organisation, at)):
        message = "This month has not begun."
        raise ExportRefused(message, field="month")
    if kind != Kind.USAGE:
        return
    if not billing.buyers().filter(pk=organisation.pk).exists():
        message = "The house gets no bills, so it has no use of its own."
        raise ExportRefused(message, field="organisation_id")
    try:
        billing.buyer(organisation)
    except pricing.NoPrice as error:
        raise ExportRefused(str(error), field="organisation_id") from error


@transaction.atomic
def discard(*, actor: Actor, export: Export, at: datetime) -> None:
    """Remove the file, or stop writing it; raises `NothingToDiscard`.

    Load `organisation` and the key with it.
    """
    actor.must(_NEEDED[Kind(export.kind)], lineage=export.organisation.lineage)
    standing = Export.objects.standing().filter(pk=export.pk)
    found = standing.select_for_update().first()
    if found is None:
        message = "There is no file any more."
        raise NothingToDiscard(message)
    if found.state == Export.State.READY:
        standing.update(state=Export.State.FORGOTTEN, stored_as="")
        transaction.on_commit(partial(keeping.remove, found.stored_as))
    else:
        standing.update(state=Export.State.CANCELLED, leased_until=None, ended_at=at)
        telling.of_end(export, actor=actor, state="cancelled", at=at)
    export.refresh_from_db()
