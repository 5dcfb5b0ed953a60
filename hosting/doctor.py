"""Looks at every part of a running installation and says what is wrong and what to do."""

from __future__ import annotations

import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage

from django.conf import settings
from django.db import DatabaseError, connections, transaction
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from accounts import notices, outbox, verifying
from accounts.access import Actor, system
from accounts.models import Organisation, Setback
from hosting import fetching, invoicing, purge_ailments
from hosting.celery import app
from hosting.models import Contract, Plan, Pulse
from hosting.ordering import order
from mailstore import (
    closing,
    credentials,
    dns_watch,
    domains,
    health,
    mail_routes,
    provisioning,
    recounting,
)
from mailstore.engine import Engine, EngineError, engine, process
from mailstore.models import Domain, Mailbox, Usage
from mailstore.quotas import byte_text
from mailstore.resolver import NoAnswer, resolver

PROBE_DOMAIN = "doctor.test"
_PATIENCE_SECONDS = 15
_BEAT_SILENCE = timedelta(seconds=45)
# Twice as long as it takes from one to the next.
# One night is a recount; two without one are too long.
_RECOUNT_SILENCE = timedelta(hours=49)
_LONGEST_IN_QUEUE = timedelta(hours=1)
_LEAST_FREE_BYTES = 500_000_000
_VIEWS = ("dovecot_app_password", "dovecot_passdb", "dovecot_userdb")


class Ailment(Exception):
    """Something is wrong; `remedy` says what to do about it."""

    def __init__(self, problem: str, *, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found."""

    name: str
    is_well: bool
    text: str
    remedy: str = ""


def examine(*, only: Iterable[str] = ()) -> Iterator[Finding]:
    """Run the checks in turn, all or `only` some; one that fails does not stop the others."""
    for name in only or CHECKS:
        yield _finding(name, CHECKS[name])


def _finding(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name=name, is_well=True, text=check())
    except Ailment as ailment:
        return Finding(name=name, is_well=False, text=str(ailment), remedy=ailment.remedy)
    except DatabaseError as error:
        remedy = "See the check of the database first."
        return Finding(name=name, is_well=False, text=str(error).strip(), remedy=remedy)
    except EngineError as error:
        remedy = f"Is Dovecot running? Its log is {settings.DOVECOT_LOG}."
        text = str(error) or type(error).__name__
        return Finding(name=name, is_well=False, text=text, remedy=remedy)


def _database() -> str:
    for alias in connections:
        executor = MigrationExecutor(connections[alias])
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            message = f"The database “{alias}” misses migrations."
            raise Ailment(message, remedy="Run bin/manage migrate, or start bin/run anew.")
    return f"{connections['default'].vendor}, up to date"


def _broker() -> str:
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=3)
    except OSError as error:
        message = f"The queue cannot be reached: {error}."
        raise Ailment(message, remedy="Start Redis, or check REDIS_URL.") from error
    return settings.CELERY_BROKER_URL.partition("://")[0]


def _worker() -> str:
    name = f"doctor-{secrets.token_hex(6)}"
    outbox.nudge("hosting.record_pulse", name=name)
    try:
        found = _eventually(Pulse.objects.filter(name=name).exists)
    finally:
        Pulse.objects.filter(name=name).delete()
    if not found:
        message = f"No worker did a small task within {_PATIENCE_SECONDS} seconds."
        raise Ailment(message, remedy="Start bin/run, or look at the worker's log.")
    return "a worker did a small task"


def _beat() -> str:
    fresh = Pulse.objects.filter(name="beat", at__gte=timezone.now() - _BEAT_SILENCE)
    if not _eventually(fresh.exists):
        message = "Nothing that beat plans was done lately."
        raise Ailment(message, remedy="Start bin/run, or look at the logs of beat and worker.")
    return f"last pulse at {fresh.get().at:%H:%M:%S} UTC"


def _dovecot() -> str:
    engine().ping()
    try:
        version = process.installed_version()
    except process.NotInstalled:
        return "answers from another machine"
    if not version.startswith("2.3."):
        message = f"This is Dovecot {version}; the configuration is made for 2.3."
        raise Ailment(message, remedy="Install Debian 12's dovecot packages.")
    return version


def _views() -> str:
    with connections["default"].cursor() as cursor:
        for view in _VIEWS:
            cursor.execute(f"SELECT * FROM {view} LIMIT 1")  # noqa: S608  # our own names
    return f"{len(_VIEWS)} views answer"


def _ports() -> str:
    ports = {
        "panel": (settings.PANEL_HOST, settings.PANEL_PORT),
        "IMAP": (settings.MAIL_LISTEN, settings.IMAP_PORT),
        "IMAP with TLS": (settings.MAIL_LISTEN, settings.IMAPS_PORT),
        "POP3": (settings.MAIL_LISTEN, settings.POP3_PORT),
        "POP3 with TLS": (settings.MAIL_LISTEN, settings.POP3S_PORT),
        "LMTP": (settings.LMTP_HOST, settings.LMTP_PORT),
        "guard of sign-ins": (settings.GUARD_HOST, settings.GUARD_PORT),
        "mail server's admin API": (settings.DOVEADM_HOST, settings.DOVEADM_PORT),
    }
    for name, address in ports.items():
        try:
            socket.create_connection(address, timeout=5).close()
        except OSError as error:
            message = f"Nothing answers for {name} on {address[0]} port {address[1]}."
            raise Ailment(message, remedy="Start bin/run, or look at its logs.") from error
    return ", ".join(f"{name} {address[1]}" for name, address in ports.items())


def _disk() -> str:
    free = shutil.disk_usage(settings.RESTANTE_STATE).free
    if free < _LEAST_FREE_BYTES:
        message = f"Only {free / 1e9:.1f} GB are free at {settings.RESTANTE_STATE}."
        raise Ailment(message, remedy="Make room, or move the state folder to a larger disk.")
    return f"{free / 1e9:.0f} GB free"


def _purges() -> str:
    at = timezone.now()
    found = health.report(at=at)
    wrong = purge_ailments.first(found, at=at)
    if wrong is not None:
        raise Ailment(wrong.text, remedy=wrong.remedy)
    sweep = f"{found.last_sweep.started_at:%Y-%m-%d}" if found.last_sweep else "not yet"
    return (
        f"{found.due} due, {found.running} running, {found.paused} paused, "
        f"lag {found.lag_minutes} min, last full sweep {sweep}, {found.frozen} frozen, "
        f"{found.held} held, {byte_text(health.store_bytes())} recoverable"
    )


def _dns() -> str:
    if not mail_routes.hosts():
        return "no domain is looked at, since MX_HOSTS and MAIL_HOST name nothing in the DNS"
    try:
        mail_routes.house(resolver())
    except NoAnswer as error:
        remedy = "Is MX_HOSTS right? Do the name servers of this machine answer? No domain is "
        raise Ailment(str(error), remedy=f"{remedy}looked at until then.") from error
    lag = dns_watch.lag(at=timezone.now())
    if lag > dns_watch.LATE:
        message = f"Looking at the DNS of domains is {lag.total_seconds() / 3600:.0f} hours behind."
        raise Ailment(message, remedy="Is the worker busy or gone? See the check of the worker.")
    failing = dns_watch.failing_text()
    return f"{failing}, lag {lag.total_seconds() / 60:.0f} min"


def _meter() -> str:
    at = timezone.now()
    ahead = recounting.ahead(at=at)
    if ahead:
        message = f"The meter of {ahead} addresses is ahead of the clock and stands still."
        remedy = "The clock of the database was wrong once. Is it right now?"
        raise Ailment(message, remedy=remedy)
    last = recounting.last()
    if last is None:
        return "not recounted yet"
    if at - last.started_at > _RECOUNT_SILENCE:
        message = f"The last recount began at {last.started_at:%Y-%m-%d %H:%M} UTC."
        raise Ailment(message, remedy="Does the worker run? Does the mail server answer?")
    drifts = recounting.drifts(since=at - _RECOUNT_SILENCE).count()
    return f"recounted {last.looked_at} mailboxes, {last.unanswered} silent, {drifts} had drifted"


def _letters() -> str:
    stuck = notices.waiting_since(timezone.now() - _LONGEST_IN_QUEUE)
    if stuck is not None:
        message = f"Letters wait since {stuck:%Y-%m-%d %H:%M} UTC."
        raise Ailment(message, remedy="Does the relay at EMAIL_HOST answer? Does the worker run?")
    refused = notices.refused()
    oldest = refused.first()
    if oldest is None:
        return "none is refused"
    return (
        f"{refused.count()} not taken and tried again, see Notices in the staff pages; "
        f"{oldest.to}: {oldest.failure}"
    )


def _events() -> str:
    trouble = verifying.trouble(at=timezone.now())
    if trouble:
        remedy = "Run bin/manage verify_events, and see Checks of events in the staff pages."
        raise Ailment(trouble, remedy=remedy)
    return verifying.summary()


def _bills() -> str:
    trouble = invoicing.trouble(at=timezone.now())
    if trouble:
        remedy = "See Closes of months in the staff pages; bills follow in the night."
        raise Ailment(trouble, remedy=remedy)
    return "none is missing"


def _sweeps() -> str:
    first = Setback.objects.order_by("failed_first_at").first()
    if first is None:
        return "nobody is left behind"
    count = Setback.objects.count()
    message = f"{count} fail in a sweep, such as {first.name} in that of {first.work}."
    remedy = f"It says: {first.failure} See Setbacks in the staff pages, and the worker's log."
    raise Ailment(message, remedy=remedy)


def _round_trip_pop() -> str:
    return _round_trip(Mailbox.Protocol.POP, fetching.by_pop)


def _round_trip_imap() -> str:
    return _round_trip(Mailbox.Protocol.IMAP, fetching.by_imap)


def _round_trip(protocol: str, fetch: Callable[[str, str], list[bytes]]) -> str:
    """One mailbox, one message in by LMTP, out by its protocol, its use reported; all removed."""
    began = time.monotonic()
    mail = engine()
    with _probe(protocol) as (mailbox, secret):
        mark = secrets.token_hex(16)
        mail.deliver(
            recipient=mailbox.address,
            message=_message(mailbox.address, mark),
            sender=settings.DEFAULT_FROM_EMAIL,
        )
        _expect_report(mailbox, protocol)
        try:
            lines = fetch(mailbox.address, secret)
        except fetching.NotFetched as error:
            raise Ailment(str(error), remedy=f"Look at {settings.DOVECOT_LOG}.") from error
        if not any(mark.encode() in line for line in lines):
            message = f"A message went in by LMTP and did not come out by {protocol.upper()}."
            raise Ailment(message, remedy=f"Look at the mail server's log {settings.DOVECOT_LOG}.")
    return f"in, reported, out and removed in {time.monotonic() - began:.1f} s"


def _expect_report(mailbox: Mailbox, protocol: str) -> None:
    reported = Usage.objects.filter(username=mailbox.address, messages=1, bytes__gt=0)
    if not _eventually(reported.exists):
        message = f"The mail server did not report the use of a {protocol.upper()} mailbox."
        remedy = "Its log names the reason, often rights on the tables it writes."
        raise Ailment(message, remedy=remedy)


@contextmanager
def _probe(protocol: str) -> Iterator[tuple[Mailbox, str]]:
    actor = system("doctor")
    mailbox, secret = _open_probe(protocol, actor=actor)
    try:
        yield mailbox, secret
    finally:
        _remove_probe(mailbox, actor=actor, mail=engine())


@transaction.atomic
def _open_probe(protocol: str, *, actor: Actor) -> tuple[Mailbox, str]:
    provider = Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()
    plan = Plan.objects.on_sale().filter(protocol=protocol).first()
    if provider is None or plan is None:
        message = f"There is no provider, or no {protocol.upper()} plan on sale."
        raise Ailment(message, remedy="Run bin/manage load_demo, or add both in the admin.")
    at = timezone.now()
    domain = Domain.objects.filter(name=PROBE_DOMAIN).first() or domains.add(
        actor=actor,
        organisation=provider,
        name=PROBE_DOMAIN,
        at=at,
    )
    mailbox = order(
        actor=actor,
        domain=domain,
        local_part=f"probe-{secrets.token_hex(6)}",
        plan=plan,
        at=at,
    )
    issued = credentials.issue(actor=actor, mailbox=mailbox, label="Doctor", at=at)
    return mailbox, issued.secret


def _remove_probe(mailbox: Mailbox, *, actor: Actor, mail: Engine) -> None:
    at = timezone.now()
    provisioning.close(actor=actor, mailbox=mailbox, grace=timedelta(0), at=at)
    closing.give_up_address(actor=actor, mailbox=mailbox, at=at)
    mail.end_sessions(user=mailbox.address)
    # Without a receipt, which nobody can remove: the probe was nobody's mailbox.
    mail.erase(user=mailbox.tombstone)
    closing.forget_reports(mailbox)
    Contract.objects.filter(mailbox=mailbox).delete()
    mailbox.delete()


def _message(address: str, mark: str) -> bytes:
    message = EmailMessage()
    message["Subject"] = "A check by the doctor"
    message["From"] = settings.DEFAULT_FROM_EMAIL
    message["To"] = address
    message.set_content(mark)
    return message.as_bytes()


def _eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False


CHECKS: dict[str, Callable[[], str]] = {
    "database": _database,
    "broker": _broker,
    "worker": _worker,
    "beat": _beat,
    "dovecot": _dovecot,
    "views": _views,
    "ports": _ports,
    "disk": _disk,
    "purges": _purges,
    "dns": _dns,
    "meter": _meter,
    "letters": _letters,
    "sweeps": _sweeps,
    "bills": _bills,
    "events": _events,
    "pop": _round_trip_pop,
    "imap": _round_trip_imap,
}
