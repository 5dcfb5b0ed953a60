"""What every mail server must do: the in-memory twin and the real Dovecot pass the same tests."""

from __future__ import annotations

import pytest

from mailstore.engine import DeliveryRefused, UnknownMailbox

NOBODY = "nobody@alder.test"


def letter(subject="One", size=50):
    return f"Subject: {subject}\r\n\r\n{'x' * size}\r\n".encode()


def folders(mail, user):
    return {found.folder: found.messages for found in mail.folder_usage(user=user)}


class EngineContract:
    """A subclass gives `mail`, an engine, and `user`, an IMAP mailbox of 10,000 bytes on it."""

    def test_making_folders_twice_does_no_harm(self, mail, user):
        for _ in range(2):
            mail.create_mailbox(user=user, folders=["Sent", "Trash"])

        assert {"INBOX", "Sent", "Trash"} <= set(folders(mail, user))

    def test_delivery_arrives_and_is_counted(self, mail, user):
        mail.deliver(recipient=user, message=letter(), sender="a@x.test")
        mail.recalculate_usage(user=user)

        [inbox] = [found for found in mail.folder_usage(user=user) if found.folder == "INBOX"]
        assert (inbox.messages, inbox.unseen) == (1, 1)
        assert inbox.bytes >= len(letter())

    def test_delivery_to_nobody_is_refused_for_good(self, mail, user):
        with pytest.raises(DeliveryRefused) as refused:
            mail.deliver(recipient=NOBODY, message=letter(), sender="a@x.test")

        assert (refused.value.code, refused.value.is_temporary) == (550, False)

    def test_delivery_that_does_not_fit_is_put_off(self, mail, user):
        with pytest.raises(DeliveryRefused) as refused:
            mail.deliver(recipient=user, message=letter(size=20_000), sender="a@x.test")

        assert (refused.value.code, refused.value.is_temporary) == (452, True)

    def test_store_is_not_held_to_the_limit(self, mail, user):
        mail.store(user=user, folder="INBOX", message=letter(size=20_000))

        assert folders(mail, user)["INBOX"] == 1

    def test_nobody_has_no_folders(self, mail, user):
        with pytest.raises(UnknownMailbox):
            mail.folder_usage(user=NOBODY)

    def test_nobody_has_no_sessions(self, mail, user):
        assert mail.end_sessions(user=NOBODY) == 0

    def test_new_mailbox_has_removed_nothing(self, mail, user):
        assert mail.removed_mail(user=user) == []

    def test_it_answers_and_reloads(self, mail, user):
        mail.ping()
        mail.reload()
        mail.ping()
