"""Host names of resellers' own: asked for, proved by DNS records, kept and lost.

The panel answers to a name only after its records have shown two things: that whoever asked
controls it (a TXT record with a token), and that it leads here (a CNAME record, or the same
addresses). A worker looks again every day; a name whose records are gone for days is let go.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.http.request import validate_host
from django.utils.translation import gettext as _

from accounts import notices, outbox
from accounts.access import Actor, Capability, system
from accounts.models import Organisation
from hosting.models import PanelHost
from mailstore import addresses
from mailstore.resolver import NoAnswer, Resolver

# Records that were just made are looked for often, forgotten ones ever less.
_LOOKS = (
    (timedelta(hours=1), timedelta(minutes=2)),
    (timedelta(days=1), timedelta(minutes=15)),
    (timedelta(days=14), timedelta(hours=6)),
)
_LOOK_AGAIN = timedelta(days=1)
_LOOK_AT_FAILING = timedelta(hours=6)
# How long the records of a name that works may be missing.
PATIENCE = timedelta(days=7)
# How long a web worker goes on with what it knows of names.
_KEPT_SECONDS = 10.0
_LONGEST = 200


class HostRefused(Exception):
    """The panel cannot answer to this name; the text says why."""


# Which names there are --------------------------------------------------------------------


class _Book:
    """The names in force, as one process knows them for some seconds.

    All of them are read at once, so that made-up names cost nothing.
    """

    def __init__(self) -> None:
        self._holders: Mapping[str, int] = {}
        self._until = 0.0

    def holder(self, name: str) -> int | None:
        now = time.monotonic()
        if now >= self._until:
            rows = PanelHost.objects.in_force().values_list("name", "organisation_id")
            self._holders, self._until = dict(rows), now + _KEPT_SECONDS
        return self._holders.get(name)

    def forget(self) -> None:
        self._until = 0.0


_book = _Book()


def holder(name: str) -> int | None:
    """The id of the reseller to whom a name in lower case belongs, or None."""
    return _book.holder(name)


def forget() -> None:
    """Look at the rows again with the next question."""
    _book.forget()


def house_name() -> str:
    """The host name of the house's own panel."""
    return urlsplit(settings.PANEL_URL).hostname or ""


def url(name: str) -> str:
    """Where a panel of this name is: as the house's own, but for the name."""
    own = urlsplit(settings.PANEL_URL)
    return f"{own.scheme}://{name}:{own.port}" if own.port else f"{own.scheme}://{name}"


def url_of(organisation: Organisation) -> str:
    """The address of a reseller's panel, for links in letters; load `panel_host` with it."""
    host = getattr(organisation, "panel_host", None)
    is_closed = organisation.state == Organisation.State.CLOSED
    return url(host.name) if host and host.is_verified and not is_closed else settings.PANEL_URL


def panel_url(seller_id: int) -> str:
    """The same by the reseller's id."""
    host = PanelHost.objects.in_force().filter(organisation=seller_id).first()
    return url(host.name) if host else settings.PANEL_URL


# Asking for one ---------------------------------------------------------------------------


def canonical(text: str) -> str:
    """The one spelling of a name that can be asked for; raises `HostRefused`."""
    try:
        name = addresses.domain(text.strip().removesuffix("."))
    except ValidationError as refusal:
        raise HostRefused(" ".join(refusal.messages)) from refusal
    if "." not in name or len(name) > _LONGEST:
        raise HostRefused(_("Write a whole host name, like panel.example.com."))
    if validate_host(name, [*settings.ALLOWED_HOSTS, house_name(), settings.MAIL_HOST]):
        raise HostRefused(_("This name belongs to the house. Take one of a domain of yours."))
    return name


@transaction.atomic
def claim(*, actor: Actor, organisation: Organisation, name: str, at: datetime) -> PanelHost:
    """Ask for a name, in place of the one there was; raises `HostRefused`."""
    actor.must(Capability.MANAGE_BRAND, lineage=organisation.lineage)
    if organisation.kind != Organisation.Kind.RESELLER:
        raise HostRefused(_("Only a reseller has a host name of its own."))
    wanted = canonical(name)
    # Whoever asks twice at once waits here, and the later one stays.
    Organisation.objects.select_for_update().get(pk=organisation.pk)
    before = PanelHost.objects.filter(organisation=organisation).first()
    if before is not None:
        if before.name == wanted:
            return before
        _remove(before)
    host = PanelHost.objects.create(
        organisation=organisation, name=wanted, claimed_at=at, due_at=at
    )
    _record("panel_host.claimed", host, actor=actor, at=at)
    outbox.nudge("hosting.check_panel_hosts")
    return host


@transaction.atomic
def give_up(*, actor: Actor, organisation: Organisation, at: datetime) -> None:
    """Let the name go; the panel stops answering to it within seconds."""
    actor.must(Capability.MANAGE_BRAND, lineage=organisation.lineage)
    host = PanelHost.objects.select_for_update().filter(organisation=organisation).first()
    if host is not None:
        _record("panel_host.given_up", host, actor=actor, at=at)
        _remove(host)


@transaction.atomic
def take_away(*, actor: Actor, host: PanelHost, reason: str, at: datetime) -> None:
    """Staff end the use of a name."""
    refusal = "Only operators of the house can take a host name away."
    actor.must_everywhere(Capability.RUN_HOUSE, refusal=refusal)
    _record("panel_host.taken_away", host, actor=actor, at=at, reason=reason)
    _remove(host)


def look_soon(*, actor: Actor, organisation: Organisation, at: datetime) -> None:
    """Have a worker look at the records now."""
    actor.must(Capability.MANAGE_BRAND, lineage=organisation.lineage)
    if PanelHost.objects.filter(organisation=organisation).update(due_at=at):
        outbox.nudge("hosting.check_panel_hosts")


# Looking at its records -------------------------------------------------------------------


def check_due(*, resolver: Resolver, at: datetime, limit: int = 50) -> int:
    """Look at the records of names that are due, oldest first; returns how many were."""
    looked = 0
    for host in PanelHost.objects.filter(due_at__lte=at).order_by("due_at", "pk")[:limit]:
        # Whoever moves the row on looks; if that worker dies, the next look comes later.
        mine = PanelHost.objects.filter(pk=host.pk, due_at=host.due_at)
        if mine.update(due_at=at + _LOOK_AT_FAILING):
            _settle(host, problem=_problem(host, resolver), at=at)
            looked += 1
    return looked


def _problem(host: PanelHost, resolver: Resolver) -> PanelHost.Problem:
    """What the records lack."""
    kinds = PanelHost.Problem
    try:
        if host.proof_text not in resolver.texts(host.proof_name):
            return kinds.NO_PROOF
        leads_here = resolver.alias(host.name) == house_name() or (
            resolver.addresses(host.name) & resolver.addresses(house_name())
        )
    except NoAnswer:
        return kinds.NO_ANSWER
    return kinds.NONE if leads_here else kinds.LEADS_ELSEWHERE


def _settle(host: PanelHost, *, problem: PanelHost.Problem, at: datetime) -> None:
    """Write down what was seen, unless the name was changed or given up meanwhile."""
    kinds = PanelHost.Problem
    with transaction.atomic():
        same = PanelHost.objects.select_for_update().filter(pk=host.pk, token=host.token)
        current = same.select_related("organisation").first()
        if current is None:
            return
        current.checked_at, current.problem = at, problem
        if problem == kinds.NONE:
            _succeed(current, at=at)
        elif current.is_verified:
            _fail(current, at=at)
        else:
            current.due_at = _next_look(current, at=at)
            current.save()


def _succeed(host: PanelHost, *, at: datetime) -> None:
    is_new = not host.is_verified
    if is_new and not _is_free(host, at=at):
        host.problem, host.due_at = PanelHost.Problem.TAKEN, _next_look(host, at=at)
        host.save()
        return
    host.state, host.verified_at = PanelHost.State.VERIFIED, host.verified_at or at
    host.failing_since, host.due_at = None, at + _LOOK_AGAIN
    try:
        with transaction.atomic():
            host.save()
    except IntegrityError:
        # Somebody else has just shown control over the same name.
        PanelHost.objects.filter(pk=host.pk).update(
            problem=PanelHost.Problem.TAKEN, checked_at=at, due_at=at + _LOOK_AT_FAILING
        )
        return
    if is_new:
        _tell(host, kind="panel_host.verified", at=at)


def _is_free(host: PanelHost, *, at: datetime) -> bool:
    """Whether nobody else holds the name; a holder that is closed or fails loses it by this."""
    others = PanelHost.objects.select_for_update().filter(
        name=host.name, state=PanelHost.State.VERIFIED
    )
    lost = others.filter(
        Q(failing_since__isnull=False) | Q(organisation__state=Organisation.State.CLOSED)
    )
    for other in lost.select_related("organisation"):
        _lose(other, at=at)
    # Two who control it cannot be told apart, so the first one keeps it while its proof stands.
    return not others.update(due_at=at)


def _fail(host: PanelHost, *, at: datetime) -> None:
    """Silence proves nothing; what is gone for days was meant to go."""
    if host.problem != PanelHost.Problem.NO_ANSWER:
        host.failing_since = host.failing_since or at
    host.due_at = at + _LOOK_AT_FAILING
    if host.failing_since is not None and at - host.failing_since >= PATIENCE:
        _lose(host, at=at)
    else:
        host.save()


def _lose(host: PanelHost, *, at: datetime) -> None:
    """Wait for the records anew, as when the name was entered."""
    host.state, host.verified_at, host.failing_since = PanelHost.State.WAITING, None, None
    host.claimed_at, host.due_at = at, at + _LOOK_AT_FAILING
    host.save()
    _tell(host, kind="panel_host.lost", at=at)


def _next_look(host: PanelHost, *, at: datetime) -> datetime | None:
    age = at - host.claimed_at
    return next((at + wait for until, wait in _LOOKS if age < until), None)


def _remove(host: PanelHost) -> None:
    host.delete()
    transaction.on_commit(forget)


def _tell(host: PanelHost, *, kind: str, at: datetime) -> None:
    """Record it, and write to the owners."""
    _record(kind, host, actor=system("panel_hosts"), at=at)
    context = {"host": host.name, "is_verified": host.is_verified, "url": url(host.name)}
    notices.announce(organisations=[host.organisation], name="panel_host", context=context, at=at)
    transaction.on_commit(forget)


def _record(kind: str, host: PanelHost, *, actor: Actor, at: datetime, reason: str = "") -> None:
    outbox.record(
        kind=kind,
        at=at,
        actor=actor,
        organisation=host.organisation,
        subject=("panel_host", host.name, host.name),
        data={"reason": reason} if reason else None,
    )
