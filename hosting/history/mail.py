"""What happened to mailboxes and their mail, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as _later
from django.utils.translation import ngettext

from mailstore import quotas

Facts = Mapping[str, Any]


def _updated(data: Facts) -> str:
    if "quota_bytes" in data:
        old, new = (quotas.byte_text(data["quota_bytes"][key]) for key in ("old", "new"))
        return _("The limit was changed from {old} to {new}.").format(old=old, new=new)
    if "window_days" in data:
        return _("Removed mail can be brought back for {new} days instead of {old}.").format(
            **data["window_days"]
        )
    if "plan" in data:
        return _("From here on the new plan alone decides how long mail stays.")
    if "trip_messages" in data:
        return _("It was changed when the tripwire fires.")
    return _switched_on_or_off(data)


def _switched_on_or_off(data: Facts) -> str:
    if "place_letters" in data:
        is_on = data["place_letters"]["new"] == "on"
        on = _("Letters about devices were switched on.")
        return on if is_on else _("Letters about devices were switched off.")
    if "tripwire" in data:
        is_on = data["tripwire"] == "on"
        return _("The tripwire was switched on.") if is_on else _("The tripwire was switched off.")
    return _("The settings were changed.")


def _warned(data: Facts) -> str:
    return _("{percent} % of the limit were reached; the owners were told.").format(**data)


def _planned(data: Facts) -> str:
    count = data["messages"]
    text = ngettext(
        "{count} removed message was asked back.",
        "{count} removed messages were asked back.",
        count,
    )
    return text.format(count=count)


def _restored(data: Facts) -> str:
    count = data["messages"]
    return ngettext("{count} message came back.", "{count} messages came back.", count).format(
        count=count
    )


def _switched(data: Facts) -> str:
    return _("Mail is read by {new} instead of {old} from here on.").format(
        new=data["new"].upper(), old=data["old"].upper()
    )


def _plan_changed(data: Facts) -> str:
    return _("The plan was changed from {old} to {new}.").format(**data)


def _password_made(data: Facts) -> str:
    protocols = data.get("protocols")
    if not protocols:
        return _("An app password was made for “%(name)s”.")
    return _("An app password for {protocols} was made for “%(name)s”.").format(
        protocols=" and ".join(protocols)
    )


def _rules_changed(data: Facts) -> str:
    if "days" not in data:
        return _("It was changed when the tripwire fires.")
    folder = data.get("folder") or _("every folder")
    new = data["days"]["new"] if isinstance(data["days"], Mapping) else data["days"]
    if new is None:
        return _("Mail in {folder} is not removed by a rule of its own any more.").format(
            folder=folder
        )
    return _("A rule was set for {folder}: mail is removed after {days} days.").format(
        folder=folder, days=new
    )


_WHY_REMOVED = {
    "retention": _later("by your rules"),
    "store": _later("for good, since its time in the store was over"),
    "asked": _later("for good, as somebody asked"),
    "closing": _later("for good, since the mailbox was closed"),
}


def _purge(singular: str, plural: str) -> Callable[[Facts], str]:
    def sentence(data: Facts) -> str:
        count = data.get("messages", 0)
        text = ngettext(singular, plural, count)
        why = _WHY_REMOVED.get(data.get("kind", ""), _WHY_REMOVED["retention"])
        return text.format(count=count, why=_(why))

    return sentence


def _erased(data: Facts) -> str:
    count = data.get("messages", 0)
    text = ngettext(
        "The mailbox was erased, with {count} message that was left in it.",
        "The mailbox was erased, with {count} messages that were left in it.",
        count,
    )
    return text.format(count=count)


def _answered(data: Facts) -> str:
    texts = {
        "roll_back": _("The mail comes back, and the mailbox is open again."),
        "own_doing": _("Somebody here removed the mail: the mailbox is open again."),
    }
    return texts.get(data.get("answer", ""), _("The tripwire's question was answered."))


def _confirmed(data: Facts) -> str:
    return _("The owner knows {label}, last seen from {address}.").format(**_device(data))


def _locked_out(data: Facts) -> str:
    return _("{label}, last seen from {address}, was locked out: it was nobody's.").format(
        **_device(data)
    )


def _copies_kept(data: Facts) -> str:
    return _("The copies that {label} leaves are to stay.").format(**_device(data))


def _device(data: Facts) -> dict[str, str]:
    label = f"“{data['label']}”" if data["label"] else _("the mailbox password")
    return {"label": label, "address": data["last_address"]}


def _work_ended(facts: Facts) -> str:
    if facts.get("kind") == "restore_messages":
        return _("All that was to come back to %(name)s is back.")
    if facts.get("state") == "done":
        return _("The work on %(name)s is done.")
    if facts.get("state") == "failed":
        return _("The work on %(name)s could not be done.")
    return _("The work on %(name)s was called off.")


SENTENCES: Mapping[str, str | Callable[[Facts], str]] = {
    "mailbox.created": _later("The mailbox was ordered."),
    "mailbox.updated": _updated,
    "mailbox.plan_changed": _plan_changed,
    "mailbox.protocol_switched": _switched,
    "mailbox.suspended": _later("The mailbox was suspended: nobody could sign in."),
    "mailbox.resumed": _later("The mailbox was resumed."),
    "mailbox.closing": _later("The mailbox was closed."),
    "mailbox.restored": _later("The mailbox was opened again."),
    "mailbox.closed": _later("Its address was given up: the mailbox cannot be opened again."),
    "mailbox.erased": _erased,
    "mailbox.password_set": _later("A mailbox password was set."),
    "mailbox.password_removed": _later("The mailbox password was removed."),
    "mailbox.app_passwords_only": _later("Only app passwords open the mailbox from here on."),
    "mailbox.mailbox_password_allowed": _later("A mailbox password may open the mailbox again."),
    "mailbox.sessions_ended": _later("All sessions were ended."),
    "mailbox.looked_at": _later("Somebody from above looked at the mailbox."),
    "mailbox.guessing_noticed": _later("Somebody began to guess its password."),
    "mailbox.quota_warning": _warned,
    "mailbox.quota_exceeded": _later("The mailbox was full: new mail was put off."),
    "mailbox.quota_recovered": _later("There was room again: new mail came in."),
    "mailbox.restore_planned": _planned,
    "mailbox.mail_restored": _restored,
    "operation.finished": _work_ended,
    "app_password.created": _password_made,
    "app_password.widened": _later("The app password of “%(name)s” works by both protocols."),
    "app_password.loosened": _later("The app password of “%(name)s” opens more than before."),
    "app_password.tightened": _later("The app password of “%(name)s” opens less than before."),
    "app_password.revoked": _later("The app password of “%(name)s” was revoked."),
    "device.confirmed": _confirmed,
    "device.locked_out": _locked_out,
    "device.copies_kept": _copies_kept,
    "retention.policy_changed": _rules_changed,
    "tripwire.fired": _later("Much was removed at once: the tripwire locked the mailbox."),
    "tripwire.answered": _answered,
    "change.asked": _later("Somebody asked for this, and it waits: %(name)s"),
    "change.failed": _later("The wait is over, and this cannot be done any more: %(name)s"),
    "change.called_off": _later("This was called off: %(name)s"),
    "change.made": _later("The wait is over, and it was done: %(name)s"),
    "change.shortened": _later("Staff made the wait shorter: %(name)s"),
    "hold.placed": _later("A hold was placed: nothing is removed until it ends."),
    "hold.released": _later("A hold ended: rules remove mail again."),
    "purge.planned": _purge(
        _later("{count} message is about to go, {why}."),
        _later("{count} messages are about to go, {why}."),
    ),
    "purge.finished": _purge(
        _later("{count} message was removed, {why}."),
        _later("{count} messages were removed, {why}."),
    ),
    "purge.cancelled": _later("A removal of mail was called off."),
    "purge.held_back": _later(
        "A removal of mail was stopped by a hold or an alarm, or by closing."
    ),
    "purge.failed": _later("A removal of mail did not work, and is tried again."),
}
