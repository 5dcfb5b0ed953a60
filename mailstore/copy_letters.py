"""The letter about copies that a POP program leaves: what they take, and what there is to choose.

Each device is written about once.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from accounts import notices
from mailstore import copies, devices, quotas, sign_ins
from mailstore.copies import Copies
from mailstore.engine import Engine, EngineError, EngineUnavailable
from mailstore.models import Device, Mailbox

logger = logging.getLogger(__name__)
# A letter names so many programs; their page has all of them.
_MOST_NAMED = 10


def tell(*, engine: Engine, at: datetime) -> int:
    """Write to the owners of mailboxes in which programs leave copies; returns how many letters.

    Where letters about devices are switched off, nobody is written to. A mailbox that the mail
    server says nothing of is looked at again next time.
    """
    written = 0
    for key in copies.suspected(at=at):
        mailbox = Mailbox.objects.select_related("organisation").get(pk=key)
        try:
            written += _look(mailbox, engine=engine, at=at)
        except EngineUnavailable as error:
            logger.warning("The mail server cannot be reached: %s", error)
            break
        except EngineError:
            logger.exception("The mail server does not say what lies in mailbox %s", mailbox.uuid)
    return written


def _look(mailbox: Mailbox, *, engine: Engine, at: datetime) -> bool:
    known = list(Device.objects.filter(mailbox=mailbox).order_by("pk"))
    keeping = copies.keepers(mailbox=mailbox, devices=known, at=at)
    untold = [device for device in keeping if device.copies_told_at is None]
    if not untold or not devices.are_letters_on(mailbox):
        return False
    found = copies.measured(mailbox=mailbox, devices=untold, engine=engine)
    return bool(found.messages) and _write(mailbox, found, at=at)


@transaction.atomic
def _write(mailbox: Mailbox, found: Copies, *, at: datetime) -> bool:
    # Whoever marks a device writes about it, so that two workers do not both.
    keys = [device.pk for device in found.devices]
    mine = Device.objects.select_for_update().filter(pk__in=keys, copies_told_at=None)
    telling = list(mine.order_by("pk"))
    if not telling:
        return False
    Device.objects.filter(pk__in=[device.pk for device in telling]).update(copies_told_at=at)
    notices.announce(
        organisations=[mailbox.organisation],
        name="copies",
        context={
            "address": mailbox.address,
            "mailbox": str(mailbox.uuid),
            "programs": _names(mailbox, telling)[:_MOST_NAMED],
            "more": max(0, len(telling) - _MOST_NAMED),
            "messages": found.messages,
            "size_text": quotas.byte_text(found.bytes),
            "rule_days": found.rule_days,
        },
        at=at,
        about=f"copies:{mailbox.uuid}",
    )
    return True


def _names(mailbox: Mailbox, telling: Sequence[Device]) -> list[str]:
    labels = sign_ins.labels_of(mailbox)
    return [labels.get(device.credential, "The mailbox password") for device in telling]
