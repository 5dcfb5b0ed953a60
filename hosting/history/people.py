"""What happened to organisations, their people and their programs, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop as _later
from django.utils.translation import ngettext

Facts = Mapping[str, Any]

ROLES: Mapping[str, str] = {
    "owner": _later("owner"),
    "admin": _later("admin"),
    "billing": _later("billing"),
    "read_only": _later("read only"),
    "visitor": _later("guest"),
    "operator": _later("operator"),
    "support": _later("support"),
    "staff_billing": _later("billing of the house"),
}


def role_text(role: str) -> str:
    """A role in words; one that is not known is its own word."""
    return _(ROLES.get(role, role)) if role else ""


def _standing(data: Facts) -> str:
    texts = {
        "active": _("Nothing is stopped any more."),
        "past_due": _("A payment is late."),
        "suspended": _("The organisation was suspended."),
        "closed": _("The organisation was closed."),
    }
    if data.get("was") == data.get("state"):
        return _("It was changed what is stopped.")
    return texts.get(data.get("state", ""), _("It was changed what is stopped."))


def _sign_in_default(data: Facts) -> str:
    if data["app_passwords_only"]["new"]:
        return _("From here on, only app passwords open new mailboxes.")
    return _("From here on, a mailbox password may open new mailboxes too.")


def _required(data: Facts) -> str:
    count = data["mailboxes"]
    text = ngettext(
        "Only app passwords open {count} mailbox from here on, where a mailbox password did too.",
        "Only app passwords open {count} mailboxes from here on, where a mailbox password did too.",
        count,
    )
    return text.format(count=count)


def _visited(data: Facts) -> str:
    return _("{seller} began to act here: {reason}").format(
        seller=data["from"], reason=data["reason"]
    )


def _changed_role(data: Facts) -> str:
    role = data["role"]
    return _("%(name)s is {new} now, and was {old} before.").format(
        new=role_text(role["new"]), old=role_text(role["old"])
    )


def _invited(data: Facts) -> str:
    return _("%(name)s was invited as {role}.").format(role=role_text(data.get("role", "")))


def _let_in(data: Facts) -> str:
    role = data["role"]
    if role["old"]:
        return _changed_role(data)
    return _("%(name)s was let in as {role}.").format(role=role_text(role["new"]))


def _disabled(data: Facts) -> str:
    if data.get("cause") == "asked":
        return _("The webhook to %(host)s was switched off.")
    return _("The webhook to %(host)s did not work for days and was switched off.")


def _dns_failing(data: Facts) -> str:
    expected = data["expected"]
    texts = {
        "no_mx": _("Mail for %(name)s does not come here: it has no MX record to {expected}."),
        "null_mx": _("Mail for %(name)s does not come here: its MX record says it takes none."),
    }
    elsewhere = _("Mail for %(name)s does not come here: its MX records lead to {seen}.")
    return texts.get(data["problem"], elsewhere).format(expected=expected, seen=data["seen"])


SENTENCES: Mapping[str, str | Callable[[Facts], str]] = {
    "organisation.created": _later("The organisation was opened."),
    "organisation.updated": _later("The name or the reference was changed."),
    "organisation.unanswered": _later(
        "Its last owner was shut out: nobody answers for the organisation any more."
    ),
    "organisation.standing_changed": _standing,
    "organisation.sign_in_default_changed": _sign_in_default,
    "organisation.app_passwords_required": _required,
    "limits.set": _later("The limits were changed."),
    "domain.added": _later("The domain %(name)s was added."),
    "domain.verified": _later("The domain %(name)s was confirmed."),
    "domain.dns_failing": _dns_failing,
    "domain.dns_recovered": _later("Mail for %(name)s comes here again."),
    "domain.cohosted": _later("The web site of %(name)s lies on the server that takes its mail."),
    "domain.check_asked": _later("Staff were asked to look at the domain %(name)s."),
    "member.added": _let_in,
    "member.invited": _invited,
    "member.joined": _later("%(name)s accepted an invitation and came in."),
    "member.role_changed": _changed_role,
    "member.left": _later("%(name)s left the organisation."),
    "member.removed": _later("%(name)s does not belong to the organisation any more."),
    "bulk.asked": _later("Staff asked for a change of many at once: %(name)s"),
    "bulk.confirmed": _later("A second member of staff confirmed a change of many: %(name)s"),
    "bulk.called_off": _later("A change of many at once was called off: %(name)s"),
    "bulk.expired": _later("Nobody confirmed a change of many in time: %(name)s"),
    "bulk.finished": _later("A change of many at once was done: %(name)s"),
    "invitation.sent_again": _later("%(name)s was written to again."),
    "invitation.withdrawn": _later("The invitation of %(name)s was withdrawn."),
    "user.shut_out": _later("Staff shut %(name)s out."),
    "user.let_in_again": _later("Staff let %(name)s in again."),
    "user.created": _later("An account was made for %(name)s."),
    "user.updated": _later("The account of %(name)s was changed by staff."),
    "user.password_set": _later("Staff set a new password for %(name)s."),
    "user.password_changed": _later("%(name)s chose a new password, and all other sessions ended."),
    "user.address_confirmed": _later("%(name)s confirmed the e-mail address."),
    "user.address_change_asked": _later("%(name)s asked for another address to sign in with."),
    "user.address_change_called_off": _later("%(name)s keeps the address to sign in with."),
    "user.address_changed": _later("%(name)s confirmed another address and signs in with it."),
    "user.address_set": _later("Staff gave %(name)s another address to sign in with."),
    "user.address_change_taken_back": _later(
        "A change of address was taken back from the former one: %(name)s, all sessions ended."
    ),
    "user.sessions_ended": _later("%(name)s ended open sessions."),
    "user.sessions_ended_by_staff": _later("Staff ended the open sessions of %(name)s."),
    "user.signed_in_anew": _later("%(name)s signed in from somewhere new."),
    "second_factor.added": _later("%(name)s added a second step for signing in."),
    "second_factor.renamed": _later("%(name)s gave a second step for signing in another name."),
    "second_factor.removed": _later("%(name)s removed a second step for signing in."),
    "second_factor.codes_made": _later("%(name)s made new recovery codes."),
    "second_factor.code_used": _later("%(name)s signed in with a recovery code from paper."),
    "second_factor.demanded": _later("Everybody needs a second step for signing in from now on."),
    "second_factor.demand_ended": _later("Nobody needs a second step for signing in any more."),
    "second_factor.lost": _later("%(name)s has lost the second step, and a wait began."),
    "second_factor.loss_called_off": _later("The second step of %(name)s stays: the loss is over."),
    "second_factor.loss_hastened": _later("Staff made the wait of %(name)s shorter."),
    "second_factor.loss_done": _later(
        "The wait is over: the second steps of %(name)s are removed."
    ),
    "access.begun": _visited,
    "access.ended": _later("%(name)s left."),
    "notice.sent_again": _later("A letter was sent again: %(name)s"),
    "brand.changed": _later("The look of the panel and its letters was changed."),
    "brand.removed": _later("The panel looks like the house's again."),
    "panel_host.claimed": _later("The host name %(name)s was asked for."),
    "panel_host.verified": _later("The panel answers at %(name)s now."),
    "panel_host.lost": _later("The panel does not answer at %(name)s any more: a record is gone."),
    "panel_host.given_up": _later("The host name %(name)s was given up."),
    "panel_host.taken_away": _later("Staff took the host name %(name)s away."),
    "api_key.created": _later("The API key “%(name)s” was made."),
    "api_key.rotated": _later("The API key “%(name)s” was replaced by another one."),
    "api_key.revoked": _later("The API key “%(name)s” was revoked."),
    "webhook_endpoint.created": _later("A webhook to %(host)s was set up."),
    "webhook_endpoint.updated": _later("The webhook to %(host)s was changed."),
    "webhook_endpoint.enabled": _later("The webhook to %(host)s was switched on."),
    "webhook_endpoint.disabled": _disabled,
    "webhook_endpoint.removed": _later("The webhook to %(host)s was removed."),
    "webhook_endpoint.secret_rotated": _later("The webhook to %(host)s has a new secret."),
    "webhook_delivery.sent_again": _later("A delivery to %(host)s was sent again."),
    "ping": _later("The webhook to %(host)s was tried out."),
    "import.completed": _later("The list %(name)s was worked off."),
    "import.failed": _later("The list %(name)s was called off."),
    "export.ready": _later("The export %(name)s can be fetched by a program."),
    "test_clock.advancing": _later("The clock of the test organisation was set on its way."),
    "test_clock.advanced": _later("The clock of the test organisation arrived."),
}
