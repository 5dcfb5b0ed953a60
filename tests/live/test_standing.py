"""What a stopped organisation is told by the mail server itself: real programs, and back again."""

from __future__ import annotations

import imaplib
import poplib
import smtplib
from datetime import timedelta

import pytest

from accounts.access import system
from hosting import ordering
from mailstore import provisioning, standing
from mailstore.models import Mailbox, Restriction
from tests.factories import AT
from tests.live.test_mail import is_ended
from tests.patience import eventually

ACTOR = system("tests")
pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


def stop(organisation, state="suspended", **stops):
    return standing.impose(
        actor=ACTOR,
        organisation=organisation,
        cause=Restriction.Cause.DEBT,
        state=Restriction.State(state),
        stops=stops,
        reason="Invoice R-1 is not paid.",
        at=AT,
    )


def free(organisation):
    standing.lift(
        actor=ACTOR, organisation=organisation, cause=Restriction.Cause.DEBT, reason="Paid", at=AT
    )


def lmtp_answer(program):
    """What a sender's server hears."""
    with smtplib.LMTP("127.0.0.1", program.server.lmtp_port) as client:
        client.ehlo()
        client.mail("a@x.test")
        return client.rcpt(program.address)


def refused(call):
    with pytest.raises((imaplib.IMAP4.error, poplib.error_proto)) as caught:
        call()
    return caught.value.args[0].decode()


def messages(program, folder="INBOX"):
    found = {each.folder: each.messages for each in program.live.folder_usage(user=program.address)}
    return found[folder]


def test_imap_can_be_read_and_not_changed(make_program, cast):
    program = make_program()
    program.deliver("One")
    stop(cast.customer, sign_in="read_only")
    client = program.imap()
    client.select("INBOX", readonly=True)

    assert b"Subject: One" in client.fetch("1", "(BODY[])")[1][0][1]
    client.store("1", "+FLAGS", r"(\Seen \Deleted)")
    client.expunge()
    for answer in (
        client.append("Sent", None, None, b"Subject: New\r\n\r\nx"),
        client.copy("1", "Trash"),
        client._simple_command("MOVE", "1", "Trash"),
        client.create("Projects"),
        client.rename("Trash", "Bin"),
        client.delete("Junk"),
    ):
        assert answer[0] == "NO"
        assert answer[1][0].startswith(b"[NOPERM] Permission denied")
    assert client.fetch("1", "(FLAGS)")[1] == [rb"1 (FLAGS (\Recent))"]
    assert client.select(".EXPUNGED/INBOX")[0] == "NO"
    assert (messages(program), messages(program, "Trash"), messages(program, "Sent")) == (1, 0, 0)


@pytest.mark.parametrize("is_read_only", [False, True])
def test_no_program_puts_mail_into_the_store(is_read_only, make_program, cast):
    """Its root is a folder of its own, and what lies in the store counts towards no limit."""
    program = make_program()
    program.deliver("One")
    if is_read_only:
        stop(cast.customer, sign_in="read_only")
    client = program.imap()

    for folder in (".EXPUNGED", ".EXPUNGED/Mine"):
        assert client.create(folder)[0] == "NO"
        assert client.append(folder, None, None, b"Subject: Free\r\n\r\nx")[0] == "NO"
        assert client.select(folder)[0] == "NO"
        client.select("INBOX", readonly=True)
        assert client.copy("1", folder)[0] == "NO"
        assert client.rename("Trash", folder)[0] == "NO"
    assert program.live.folder_states(user=program.address, removed=True) == []


def test_imap_that_selects_hears_that_it_is_read_only(make_program, cast):
    program = make_program()
    stop(cast.customer, sign_in="read_only")

    kind, [text] = program.imap()._simple_command("SELECT", "INBOX")

    assert (kind, text.partition(b" ")[0]) == ("OK", b"[READ-ONLY]")


def test_pop_fetches_and_removes_nothing(make_program, cast):
    program = make_program("pop")
    program.deliver("One")
    stop(cast.customer, sign_in="read_only")
    client = program.pop()

    fetched = b"\n".join(client.retr(1)[1])
    client.dele(1)
    client.quit()

    assert b"Subject: One" in fetched
    assert program.pop().stat()[0] == 1
    assert program.live.removed_mail(user=program.address) == []


@pytest.mark.parametrize("protocol", ["imap", "pop"])
def test_mail_goes_on_arriving_while_it_can_only_be_read(make_program, cast, protocol):
    program = make_program(protocol)
    stop(cast.customer, sign_in="read_only", sending="limited")

    program.deliver("New")

    assert messages(program) == 1


def test_put_off_mail_waits_at_its_sender_and_arrives_once_paid(make_program, cast):
    program = make_program()
    stop(cast.customer, sign_in="read_only", receiving="put_off")
    code, text = lmtp_answer(program)
    free(cast.customer)

    assert (code, text[:5]) == (451, b"4.3.0")
    assert lmtp_answer(program)[0] == 250
    program.deliver("Waited")
    assert messages(program) == 1


def test_the_house_itself_still_reaches_what_takes_no_mail(make_program, cast):
    program = make_program()
    stop(cast.customer, sign_in="shut", receiving="put_off")

    program.live.store(user=program.address, folder="INBOX", message=b"Subject: Pay\r\n\r\nx\r\n")

    assert messages(program) == 1


@pytest.mark.parametrize("protocol", ["imap", "pop"])
def test_nobody_signs_in_where_it_is_shut_and_the_sentence_says_why(make_program, cast, protocol):
    program = make_program(protocol)
    program.deliver("One")
    stop(cast.customer, sign_in="shut")
    sign_in = program.imap if protocol == "imap" else program.pop

    sentence = refused(sign_in)
    wrong = refused(lambda: sign_in("not the password"))
    free(cast.customer)

    assert "Signing in is stopped for your organisation. The panel says why." in sentence
    assert "Authentication failed" in wrong
    assert lmtp_answer(program)[0] == 250
    sign_in()


def test_open_sessions_end_when_they_would_be_otherwise_now(make_program, cast):
    program = make_program()
    client = program.imap()
    stop(cast.customer, sign_in="read_only")

    eventually(lambda: is_ended(client, program, at=AT))


def test_paying_gives_back_all_rights_at_once(make_program, cast):
    program = make_program()
    program.deliver("One")
    stop(cast.customer, sign_in="read_only", receiving="put_off", sending="limited")
    program.imap()
    free(cast.customer)
    client = program.imap()
    client.select("INBOX")
    client.store("1", "+FLAGS", r"(\Deleted)")
    client.expunge()

    assert messages(program) == 0
    assert lmtp_answer(program)[0] == 250


def test_a_resellers_debt_reaches_its_customers_only_where_it_says_so(make_program, cast):
    program = make_program()
    stop(cast.reseller, sign_in="shut", receiving="put_off", sending="shut")
    own = lmtp_answer(program)[0], program.imap().select("INBOX")[0]
    stop(cast.reseller, sign_in="shut", sign_in_below="read_only")
    program.imap().select("INBOX", readonly=True)
    with pytest.raises(imaplib.IMAP4.readonly):
        program.imap().select("INBOX")
    still = lmtp_answer(program)[0]
    stop(cast.reseller, sign_in_below="shut", receiving_below="put_off")

    assert own == (250, "OK")
    assert still == 250
    assert "Ask the company you have this mailbox from." in refused(program.imap)
    assert lmtp_answer(program)[0] == 451


def test_closed_with_its_organisation_and_brought_back_with_all_mail(make_program, cast):
    program = make_program()
    program.deliver("Kept")
    stop(cast.customer, state="closed", sign_in="shut", receiving="put_off")
    closed = standing.close_along(grace=timedelta(days=30), at=AT)
    code = lmtp_answer(program)[0]
    free(cast.customer)
    back = standing.bring_back(reopen=ordering.reopen, at=AT)
    provisioning.prepare_pending(engine=program.live, at=AT)

    assert (closed, back, code) == (1, 1, 550)
    assert Mailbox.objects.get(pk=program.mailbox.pk).state == Mailbox.State.ACTIVE
    assert program.imap().select("INBOX")[1] == [b"1"]
    assert lmtp_answer(program)[0] == 250
