"""What every mail server must do: the in-memory twin and the real Dovecot pass the same tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mailstore.engine import DeliveryRefused, MessageSearch, RemovedSearch, UnknownMailbox

NOBODY = "nobody@alder.test"


def letter(subject="One", size=50):
    return f"Subject: {subject}\r\n\r\n{'x' * size}\r\n".encode()


def folders(mail, user):
    return {found.folder: found.messages for found in mail.folder_usage(user=user)}


class EngineContract:
    """What a subclass gives: `mail`, an engine; `user`, an IMAP mailbox of 10,000 bytes on it;
    and `fetch`, which does to the inbox what a mail program does that fetches all of it.
    """

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

    def test_sizes_are_those_that_are_reported(self, mail, user):
        mail.create_mailbox(user=user, folders=["Work"])
        mail.store(user=user, folder="Work", message=letter())
        mail.store(user=user, folder="INBOX", message=letter(size=100))
        [gone] = [message.uid for message in mail.messages(user=user, folder="INBOX")]
        mail.remove(user=user, folder="INBOX", uids=[gone])

        sizes = mail.sizes(users=[user, NOBODY])

        [work] = [found for found in mail.folder_usage(user=user) if found.folder == "Work"]
        assert {name: (size.bytes, size.messages) for name, size in sizes.items()} == {
            user: (work.bytes, 1)
        }

    def test_nobody_has_no_sessions(self, mail, user):
        assert mail.end_sessions(user=NOBODY) == 0

    def test_new_mailbox_has_removed_nothing(self, mail, user):
        assert mail.removed_mail(user=user) == []

    def test_removed_message_keeps_its_folder_and_comes_back_once(self, mail, user):
        mail.create_mailbox(user=user, folders=["Work"])
        mail.store(user=user, folder="Work", message=letter("Plan"))
        [before] = mail.messages(user=user, folder="Work")

        mail.remove(user=user, folder="Work", uids=[before.uid])
        [kept] = mail.removed_mail(user=user)
        gone = mail.messages(user=user, folder="Work")
        for _ in range(2):
            mail.restore(user=user, folder="Work", uids=[kept.uid])

        assert (kept.folder, kept.subject, kept.guid, gone) == ("Work", "Plan", before.guid, [])
        assert mail.removed_mail(user=user) == []
        [back] = mail.messages(user=user, folder="Work")
        assert (back.guid, back.bytes) == (before.guid, before.bytes)
        assert back.uid > before.uid

    def test_message_comes_back_as_one_that_nobody_fetched(self, mail, user, fetch):
        mail.store(user=user, folder="INBOX", message=letter())
        fetch()
        mail.remove(user=user, folder="INBOX", uids=[1])
        [kept] = mail.messages(user=user, folder="INBOX", removed=True, retrieved=True)

        mail.restore(user=user, folder="INBOX", uids=[kept.uid], as_unfetched=True)

        assert mail.messages(user=user, folder="INBOX", retrieved=True) == []
        assert [m.guid for m in mail.messages(user=user, folder="INBOX")] == [kept.guid]

    def test_removing_twice_does_no_harm(self, mail, user):
        mail.store(user=user, folder="INBOX", message=letter())
        for _ in range(2):
            mail.remove(user=user, folder="INBOX", uids=[1])

        [kept] = mail.messages(user=user, folder="INBOX", removed=True)
        for _ in range(2):
            mail.remove_for_good(user=user, folder="INBOX", uids=[kept.uid])
        assert mail.removed_mail(user=user) == []

    def test_states_tell_the_oldest_arrival(self, mail, user):
        mail.create_mailbox(user=user, folders=["Empty"])
        mail.store(user=user, folder="INBOX", message=letter())
        before = datetime.now(tz=UTC)

        states = {state.folder: state for state in mail.folder_states(user=user)}

        assert states["Empty"].first_saved_at is None
        age = before - states["INBOX"].first_saved_at
        assert timedelta(seconds=-2) < age < timedelta(seconds=20)
        assert (states["INBOX"].messages, states["INBOX"].uidvalidity > 0) == (1, True)
        assert mail.folder_states(user=user, removed=True) == []

    def test_messages_are_narrowed_by_age_and_uid(self, mail, user):
        for subject in ("One", "Two", "Three"):
            mail.store(user=user, folder="INBOX", message=letter(subject))
        now = datetime.now(tz=UTC)

        def found(**narrow):
            return [m.uid for m in mail.messages(user=user, folder="INBOX", **narrow)]

        assert found() == [1, 2, 3]
        assert found(uids=[1, 3, 9]) == [1, 3]
        assert found(saved_before=now + timedelta(days=1)) == [1, 2, 3]
        assert found(saved_before=now - timedelta(days=1)) == []
        assert found(retrieved=True) == []

    def test_many_are_asked_at_once_and_answer_as_each_does_alone(self, mail, user):
        mail.create_mailbox(user=user, folders=["Work", "a*", "ab"])
        for folder in ("INBOX", "INBOX", "Work", "a*", "ab"):
            mail.store(user=user, folder=folder, message=letter(folder))
        mail.remove(user=user, folder="INBOX", uids=[1])
        later = datetime.now(tz=UTC) + timedelta(days=1)
        searches = [
            MessageSearch(user=user, folder="INBOX", saved_before=later),
            MessageSearch(user=NOBODY, folder="INBOX"),
            MessageSearch(user=user, folder="Nowhere"),
            MessageSearch(user=user, folder="n*where"),
            MessageSearch(user=user, folder="a*", uids=[1, 2]),
            MessageSearch(user=user, folder="INBOX", removed=True),
            MessageSearch(user=user, folder="Work", retrieved=True),
        ]

        states = mail.folder_states_each(users=[NOBODY, user])
        stored = mail.folder_states_each(users=[user], removed=True)
        found = mail.messages_each(searches=searches)

        assert states == {user: mail.folder_states(user=user)}
        assert stored == {user: mail.folder_states(user=user, removed=True)}
        alone = [
            None if search.user == NOBODY else mail.messages(**vars(search)) for search in searches
        ]
        assert found == alone
        assert [None if one is None else len(one) for one in found] == [1, None, 0, 0, 1, 1, 0]
        assert mail.messages_each(searches=[]) == []

    def test_it_tells_which_messages_are_still_there(self, mail, user):
        for number in range(3):
            mail.store(user=user, folder="INBOX", message=letter(str(number)))
        guids = {one.uid: one.guid for one in mail.messages(user=user, folder="INBOX")}
        [state] = [one for one in mail.folder_states(user=user) if one.folder == "INBOX"]
        mail.remove(user=user, folder="INBOX", uids=[2])

        found = mail.present(user=user, folder="INBOX", uids=[1, 2, 9])
        assert found.uidvalidity == state.uidvalidity
        assert dict(found.guids) == {1: guids[1]}
        kept = mail.present(user=user, folder="INBOX", uids=[1, 2, 9], removed=True)
        assert list(kept.guids.values()) == [guids[2]]
        nowhere = mail.present(user=user, folder="Nowhere", uids=[1])
        assert (nowhere.uidvalidity, dict(nowhere.guids)) == (0, {})

    def test_a_folder_that_is_not_there_has_no_messages(self, mail, user):
        assert mail.messages(user=user, folder="Nowhere") == []
        mail.remove(user=user, folder="Nowhere", uids=[1])

    def test_a_wildcard_in_a_folders_name_means_no_other_folder(self, mail, user):
        mail.create_mailbox(user=user, folders=["a*", "ab"])
        for folder in ("a*", "ab"):
            mail.store(user=user, folder=folder, message=letter(folder))

        mail.remove(user=user, folder="a*", uids=[1])

        assert [m.folder for m in mail.removed_mail(user=user)] == ["a*"]
        assert len(mail.messages(user=user, folder="ab")) == 1
        mail.restore(user=user, folder="a*", uids=[1])
        assert len(mail.messages(user=user, folder="a*")) == 1

    def test_removed_mail_is_searched(self, mail, user):
        start = datetime.now(tz=UTC) - timedelta(seconds=5)
        for subject in ("Invoice 7", "Holiday"):
            text = f"From: Zoë <zoe@x.test>\r\nSubject: {subject}\r\n\r\nx\r\n"
            mail.store(user=user, folder="INBOX", message=text.encode())
        mail.remove(user=user, folder="INBOX", uids=[1, 2])

        def found(**search):
            subjects = mail.removed_mail(user=user, search=RemovedSearch(**search))
            return sorted(message.subject for message in subjects)

        assert found() == ["Holiday", "Invoice 7"]
        assert found(subject="invoice") == ["Invoice 7"]
        assert found(sender="zoe@x") == ["Holiday", "Invoice 7"]
        assert found(folder="INBOX", since=start) == ["Holiday", "Invoice 7"]
        assert found(since=start + timedelta(hours=1)) == []
        assert found(until=start) == []

    def test_removed_mail_is_indexed_and_chosen(self, mail, user):
        folders = ("INBOX", "Über & mehr", "a*", "ab")
        mail.create_mailbox(user=user, folders=folders[1:])
        for folder in folders:
            for number in range(3):
                mail.store(user=user, folder=folder, message=letter(f"{len(folder)} {number}"))
            mail.remove(user=user, folder=folder, uids=[1, 2, 3])

        index = mail.removed_index(user=user)
        chosen = {"INBOX": {1, 9}, "a*": {2, 3}, "Über & mehr": {3}, "Nowhere": {1}, "ab": set()}
        found = mail.removed_chosen(user=user, chosen=chosen)

        everything = {(one.folder, one.uid): one.removed_at for one in mail.removed_mail(user=user)}
        assert {(one.folder, one.uid): one.removed_at for one in index} == everything
        assert len(index) == 12
        assert {(one.folder, one.uid, one.subject) for one in found} == {
            ("INBOX", 1, "5 0"),
            ("a*", 2, "2 1"),
            ("a*", 3, "2 2"),
            ("Über & mehr", 3, "11 2"),
        }
        assert mail.removed_chosen(user=user, chosen={}) == []
        for folder in ("", "../etc", "a//b", "*", "x" * 5000, ".EXPUNGED/INBOX"):
            assert mail.removed_chosen(user=user, chosen={folder: {1}}) == []

    def test_it_answers_and_reloads(self, mail, user):
        mail.ping()
        mail.reload()
        mail.ping()

    def test_reads_are_set_aside_and_come_back(self, mail, user):
        for subject in ("One", "Two", "Three"):
            mail.store(user=user, folder="INBOX", message=letter(subject))
        uids = [message.uid for message in mail.messages(user=user, folder="INBOX")]
        seen = lambda: [  # noqa: E731
            message.uid for message in mail.messages(user=user, folder="INBOX", retrieved=True)
        ]
        mail.set_reads_aside(user=user, uids=uids[:2])
        mail.bring_reads_back(user=user)
        assert seen() == uids[:2]

        for _ in range(2):
            mail.set_reads_aside(user=user, uids=uids[:1])
        assert seen() == uids[1:2]
        for _ in range(2):
            mail.bring_reads_back(user=user)

        assert seen() == uids[:2]
        assert [m.uid for m in mail.messages(user=user, folder="INBOX")] == uids

    def test_setting_nothing_aside_changes_nothing(self, mail, user):
        mail.store(user=user, folder="INBOX", message=letter())

        mail.set_reads_aside(user=user, uids=[])
        mail.bring_reads_back(user=user)

        assert mail.messages(user=user, folder="INBOX", retrieved=True) == []

    def test_what_was_begun_is_remembered_in_the_store_until_it_comes_back(self, mail, user):
        for subject in ("One", "Two", "Three"):
            mail.store(user=user, folder="INBOX", message=letter(subject))
        untouched = lambda **more: [  # noqa: E731
            m.uid for m in mail.messages(user=user, folder="INBOX", untouched=True, **more)
        ]
        mail.set_reads_aside(user=user, uids=[1], as_begun=True)
        mail.set_reads_aside(user=user, uids=[2])
        mail.bring_reads_back(user=user)
        assert untouched() == [3]
        assert [m.uid for m in mail.messages(user=user, folder="INBOX", retrieved=True)] == [2]

        mail.remove(user=user, folder="INBOX", uids=[1, 2, 3])
        assert untouched(removed=True) == [3]
        mail.restore(user=user, folder="INBOX", uids=[1, 2, 3], as_unfetched=True)

        assert len(untouched()) == 3

    def test_mail_of_a_folder_is_gathered_once_and_leaves_nothing_behind(self, mail, user):
        mail.create_mailbox(user=user, folders=["Work"])
        mail.store(user=user, folder="Work", message=letter("Plan"))
        [before] = mail.messages(user=user, folder="Work")

        for _ in range(2):
            mail.gather(user=user, folder="Work", uids=[before.uid])
        mail.gather(user=user, folder="Nowhere", uids=[1])
        mail.gather(user=user, folder="Work", uids=[])

        [inside] = mail.messages(user=user, folder="INBOX")
        assert (inside.guid, inside.bytes) == (before.guid, before.bytes)
        assert mail.messages(user=user, folder="Work") == []
        assert mail.removed_mail(user=user) == []

    def test_services_are_told_with_what_they_are_at(self, mail, user):
        services = mail.services()

        names = [each.name for each in services]
        assert "imap" in names
        assert names == sorted(names)
        assert all(0 <= each.busy <= each.processes <= each.most_processes for each in services)
