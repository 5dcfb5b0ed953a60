"""Lists of mailboxes as CSV, through the functions and through the command."""

from __future__ import annotations

import csv
import io
import os
import stat
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection

from accounts.access import system
from accounts.models import Event, Organisation, User
from hosting import importing, tasks
from hosting.importing import Problem, UnreadableList, lists, opening, runs
from hosting.importing.lists import BATCH
from hosting.models import Contract, MailboxImport, Plan
from mailstore import credentials
from mailstore.models import AppPassword, Domain, Mailbox
from tests.corpus import HOSTILE_DOMAINS, HOSTILE_LOCAL_PARTS
from tests.disks import files_up_to
from tests.factories import AT, make_domain, make_mailbox

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

STAFF = system("tests")


def as_csv(*lines, header=("address", "plan", "label", "quota_bytes")):
    """The list as a spreadsheet would write it."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(line + ("",) * (len(header) - len(line)) for line in lines)
    return text.getvalue()


def numbered(count, *, start=0):
    return as_csv(*((f"box{number}@alder.test", "imap") for number in range(start, count)))


def problems_of(text, actor=STAFF, **options):
    checked = importing.check(text=text, actor=actor, **options)
    return [(problem.line, problem.column) for problem in checked.problems]


def opened_by(text, actor=STAFF, keep=None):
    """Open what is good in a list."""
    rows = importing.check(text=text, actor=actor).rows
    return list(importing.apply(rows=rows, actor=actor, at=AT, keep=keep))


# The form of a list ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        (b"", 1, "The list is empty."),
        (b"\xef\xbb\xbf \r\n", 1, "The list is empty."),
        (b"address,plan\n", 1, "There is no line below the first one."),
        (b"address,plan\n\n\n", 1, "There is no line below the first one."),
        (b"\xff\xfea\0d\0", 1, "This is not UTF-8. Save the list as “CSV UTF-8”."),
        (b"address,plan\na@b.test,imap\ncaf\xe9", 3, "This is not UTF-8."),
        (b"address,plan\na@b.test,im\0ap\n", 2, "There is a NUL here, so this is not a text."),
        (b"address\na@b.test\n", 1, "The first line names the columns, and “plan” is missing."),
        (b"mail,plan\na@b.test,imap\n", 1, "There is no column “mail”."),
        (b"address,plan,plan\na@b.test,imap,imap\n", 1, "This column stands twice."),
        (b"a@b.test,imap\nc@b.test,imap\n", 1, "There is no column “a@b.test”."),
        (b'address,plan\n"a@b.test"x,imap\n', 2, "The list cannot be read from here on:"),
        (b'address,plan\n"a@b.test,imap\n', 2, "The list cannot be read from here on:"),
        (b"address,plan\n" + b"x" * 10_000_000, 2, "The list cannot be read from here on:"),
        (b"x" * 10_000_000, 1, "The list cannot be read from here on:"),
    ],
)
def test_list_that_is_none_is_refused_in_one_sentence(content, line, said):
    with pytest.raises(UnreadableList) as refusal:
        importing.read(importing.decode(content))

    assert refusal.value.problem.line == line
    assert refusal.value.problem.message.startswith(said)
    assert len(refusal.value.problem.message) < 200


def test_what_is_quoted_back_is_short_and_harmless_on_a_terminal():
    with pytest.raises(UnreadableList) as refusal:
        importing.read(f"\x1b[31m{'x' * 1000},plan\na,b\n")

    assert refusal.value.problem.column == "\ufffd[31m" + "x" * 55 + "…"


@pytest.mark.parametrize(
    "text",
    [
        "address,plan\r\na@alder.test,imap\r\n",
        "\nPLAN , address".strip() + "\nimap,a@alder.test",
        "address;plan\na@alder.test;imap\n",
        'address,plan\n\n"a@alder.test","imap"\n\n',
    ],
)
def test_spellings_of_one_list_mean_the_same(cast, text):
    [row] = importing.check(text=text, actor=STAFF).rows

    assert (row.address, row.plan.slug, row.label, row.device) == ("a@alder.test", "imap", "", "")


def test_byte_order_mark_is_no_part_of_the_header(cast):
    text = importing.decode(b"\xef\xbb\xbfaddress,plan\na@alder.test,imap\n")

    assert [row.address for row in importing.check(text=text, actor=STAFF).rows] == ["a@alder.test"]


# The verdict on each line ---------------------------------------------------------------


@pytest.mark.parametrize("name", HOSTILE_LOCAL_PARTS)
def test_hostile_name_is_refused_on_its_line(cast, name):
    text = as_csv(("good@alder.test", "imap"), (f"{name}@alder.test", "imap"))
    checked = importing.check(text=text, actor=STAFF)
    # One dot fewer than hostile: the grammar allows a hyphen at the end.
    is_fine = name == "hello-."[:-1]

    assert [(problem.line, problem.column) for problem in checked.problems] == (
        [] if is_fine else [(3, "address")]
    )


@pytest.mark.parametrize("name", HOSTILE_DOMAINS)
def test_hostile_domain_is_refused_on_its_line(cast, name):
    assert problems_of(as_csv((f"hello@{name}", "imap"))) == [(2, "address")]


@pytest.mark.parametrize(
    ("line", "column", "said"),
    [
        (("hello.alder.test", "imap"), "address", "An address has an @, like name@example.com."),
        (("", "imap"), "address", "An address has an @, like name@example.com."),
        (("a@elsewhere.test", "imap"), "address", "There is no domain elsewhere.test here."),
        (("a@alder.test", "gold"), "plan", "There is no plan “gold”. The plans are: pop, imap."),
        (("a@alder.test", ""), "plan", "There is no plan “”."),
        (("a@alder.test", "IMAP"), "plan", "There is no plan “IMAP”."),
        (("a@alder.test", "imap", "x" * 121), "label", "At most 120 characters can stand here."),
        (("a@alder.test", "imap", "a\nb"), "label", "This has characters that cannot be shown."),
        (("a@alder.test", "imap", "\u202eab"), "label", "This has characters that cannot"),
        (("a@alder.test", "imap", "", "0"), "quota_bytes", "Write a whole number of bytes"),
        (("a@alder.test", "imap", "", "-1"), "quota_bytes", "Write a whole number of bytes"),
        (("a@alder.test", "imap", "", "1.5"), "quota_bytes", "Write a whole number of bytes"),
        (("a@alder.test", "imap", "", "1e9"), "quota_bytes", "Write a whole number of bytes"),
        (("a@alder.test", "imap", "", " 1"), "quota_bytes", "Write a whole number of bytes"),
        (("a@alder.test", "imap", "", "١٢"), "quota_bytes", "Write a whole number of bytes"),
        (("a@alder.test", "imap", "", "9" * 20), "quota_bytes", "No mailbox can have so much."),
        (("a@alder.test", "imap", "", "9" * 9999), "quota_bytes", "No mailbox can have so much."),
        (("A@ALDER.test", "imap"), "address", "a@alder.test is taken."),
    ],
)
def test_bad_line_names_its_column_and_why(cast, line, column, said):
    if said.endswith("is taken."):
        make_mailbox(cast.domain, "a")

    [problem] = importing.check(text=as_csv(line), actor=STAFF).problems

    assert (problem.line, problem.column) == (2, column)
    assert problem.message.startswith(said)


def test_lines_are_counted_as_an_editor_shows_them(cast):
    text = (
        'address,plan,label\na@alder.test,imap,"two\nlines"\n\nb@alder.test,gold,\nc@alder.test\n'
    )

    checked = importing.check(text=text, actor=STAFF)

    assert [(p.line, p.column) for p in checked.problems] == [(2, "label"), (5, "plan"), (6, "")]
    assert checked.problems[2].message == "This line has 1 cells, the first line has 3."


def test_twin_on_a_later_line_names_the_first(cast):
    text = as_csv(("a@alder.test", "imap"), ("A@Alder.TEST", "pop"))

    checked = importing.check(text=text, actor=STAFF)

    assert [row.line for row in checked.rows] == [2]
    assert checked.problems == [
        Problem(
            line=3,
            column="address",
            message="This address stands on line 2 already.",
            code="already-exists",
        )
    ]


def test_twin_is_found_beyond_its_piece(cast):
    text = numbered(BATCH + 1) + "box0@alder.test,imap,,\r\n"

    assert problems_of(text) == [(BATCH + 3, "address")]


def test_plan_that_is_not_on_sale_is_not_there(cast):
    Plan.objects.filter(slug="pop").update(is_on_sale=False)

    assert problems_of(as_csv(("a@alder.test", "pop"))) == [(2, "plan")]


def test_domain_that_waits_has_no_mailboxes(cast):
    domain = make_domain("alder.example", cast.customer)

    [problem] = importing.check(text=as_csv(("a@alder.example", "imap")), actor=STAFF).problems

    assert domain.state == Domain.State.WAITING
    assert "has not been confirmed yet" in problem.message


def test_only_staff_give_out_reserved_names_and_go_beyond_the_plan(cast):
    ceiling = Plan.objects.get(slug="imap").ceiling_bytes
    text = as_csv(("postmaster@alder.test", "imap"), ("b@alder.test", "imap", "", f"{ceiling + 1}"))

    assert problems_of(text, actor=STAFF) == []
    assert problems_of(text, actor=cast.actor(cast.alice)) == [(2, "address"), (3, "quota_bytes")]


def test_nobody_imports_into_what_they_cannot_manage(cast):
    text = as_csv(("a@alder.test", "imap"), ("a@juniper.test", "imap"))

    assert problems_of(text, actor=cast.actor(cast.alice)) == [(3, "address")]
    assert problems_of(text, actor=cast.actor(cast.rita)) == [(3, "address")]
    assert problems_of(text, actor=cast.actor(cast.bob)) == [(2, "address"), (3, "address")]
    assert problems_of(text, organisation=cast.customer) == [(3, "address")]


# Opening --------------------------------------------------------------------------------


def test_opening_leaves_what_an_order_leaves(cast):
    by_page = make_mailbox(cast.domain, "page", is_ready=False)
    opened_by(as_csv(("LIST@alder.test", "imap")))

    by_list = Mailbox.objects.get(address="list@alder.test")

    own = {"id", "uuid", "address", "local_part"}
    fields = [f.attname for f in Mailbox._meta.concrete_fields if f.name not in own]
    assert [getattr(by_list, f) for f in fields] == [getattr(by_page, f) for f in fields]
    [ours, theirs] = [box.contracts.get() for box in (by_list, by_page)]
    assert (ours.plan, ours.starts_at, ours.ends_at) == (theirs.plan, AT, None)
    facts = Event.objects.filter(kind="mailbox.created").order_by("seq")
    told = [(e.at, e.organisation, e.actor_name, e.subject_kind, e.data) for e in facts]
    assert told[0] == told[1]
    assert facts[1].subject_id == str(by_list.uuid)


def test_label_and_limit_come_from_the_list(cast):
    opened_by(as_csv(("a@alder.test", "pop", "=1+1", "0005")))

    mailbox = Mailbox.objects.get()
    assert (mailbox.label, mailbox.quota_bytes, mailbox.protocol) == ("=1+1", 5, "pop")


def test_each_secret_is_handed_over_once_and_kept_nowhere(cast):
    header = ("address", "plan", "app_password")
    text = as_csv(("a@alder.test", "imap", "Phone"), ("b@alder.test", "imap", ""), header=header)
    kept = []

    opened_by(text, keep=kept.extend)

    [secret] = kept
    password = AppPassword.objects.get()
    assert (secret.address, secret.label) == ("a@alder.test", "Phone")
    assert password.digest == credentials.digest(secret.secret)
    assert password.mailbox.address == "a@alder.test"
    assert secret.secret not in str(list(Event.objects.values()))
    assert Event.objects.filter(kind="app_password.created").count() == 1


def test_piece_whose_secrets_cannot_be_kept_is_not_opened(cast):
    text = as_csv(("a@alder.test", "imap", "Phone"), header=("address", "plan", "app_password"))

    def full(_secrets):
        raise BlockingIOError

    with pytest.raises(BlockingIOError):
        opened_by(text, keep=full)

    assert not Mailbox.objects.exists()
    assert not Contract.objects.exists()


def test_address_that_was_taken_meanwhile_is_named_and_the_rest_is_opened(cast):
    rows = importing.check(text=numbered(3), actor=STAFF).rows
    make_mailbox(cast.domain, "box1")

    [applied] = importing.apply(rows=rows, actor=STAFF, at=AT)

    assert applied.opened_count == 2
    assert applied.problems == [
        Problem(line=3, column="address", message="box1@alder.test is taken.", code="address-taken")
    ]
    assert Mailbox.objects.count() == Contract.objects.count() == 3


def test_pieces_take_the_same_few_statements_whatever_they_hold(
    cast, django_assert_num_queries, monkeypatch
):
    # SQLite takes a bounded number of values at once; this many rows fit into one INSERT.
    monkeypatch.setattr(lists, "BATCH", 20)
    monkeypatch.setattr(opening, "BATCH", 20)
    header = ("address", "plan", "app_password")
    for number, count in enumerate((1, 20)):
        lines = ((f"b{number}-{i}@alder.test", "imap", "Phone") for i in range(count))
        text = as_csv(*lines, header=header)
        # The plans, the domains, what is taken; the lists with prices and the limits between
        # savepoint and release.
        with django_assert_num_queries(7):
            rows = importing.check(text=text, actor=STAFF).rows
        # Savepoint and release; lists with prices, limits, mailboxes, contracts, app passwords and
        # events.
        with django_assert_num_queries(8):
            list(importing.apply(rows=rows, actor=STAFF, at=AT))


def test_list_that_cannot_be_read_is_one_problem():
    checked = importing.check(text="address\n", actor=STAFF)

    assert [(each.line, each.column) for each in checked.problems] == [(1, "plan")]


def test_piece_that_fails_again_and_again_is_given_up():
    tries = []

    def lose():
        tries.append(True)
        raise IntegrityError

    with pytest.raises(IntegrityError):
        opening.retried(lose)

    assert len(tries) == 3


# Lists that staff uploaded --------------------------------------------------------------


def taken_in(cast, **more):
    return runs.take_in(actor=cast.actor(cast.sam), by=cast.sam, **more)


class Clock:
    """A clock that goes on by one second at each look, and may do something at one."""

    def __init__(self, at=AT, look=0, act=lambda: None):
        self.at, self.look, self.act, self.looks = at, look, act, 0

    def __call__(self):
        self.looks += 1
        if self.looks == self.look:
            self.act()
        self.at += timedelta(seconds=1)
        return self.at


@pytest.fixture
def confirmed(cast):
    def confirmed(text):
        listed = taken_in(cast, file_name="list.csv", text=text, at=AT)
        runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=AT)
        return listed

    return confirmed


def counts(listed):
    listed.refresh_from_db()
    return listed.state, listed.done_count, listed.opened_count, len(listed.problems)


def test_list_is_worked_off_in_the_name_of_who_confirmed_it(cast, confirmed):
    listed = confirmed(numbered(3))

    assert tasks.run_import(import_id=listed.pk)

    assert counts(listed) == ("finished", 3, 3, 0)
    facts = Event.objects.filter(kind="mailbox.created")
    assert {fact.actor_name for fact in facts} == {cast.sam.email}


def test_preview_opens_nothing(cast):
    listed = taken_in(cast, file_name="list.csv", text=numbered(3), at=AT)
    before = Event.objects.count()

    checked = runs.preview(listed=listed, actor=cast.actor(cast.sam))

    assert (len(checked.rows), checked.problems) == (3, [])
    assert (Mailbox.objects.count(), Event.objects.count()) == (0, before)
    assert not tasks.run_import(import_id=listed.pk)
    assert counts(listed) == ("checked", 0, 0, 0)


def test_list_from_before_a_change_of_the_rules_says_so(cast):
    listed = MailboxImport.objects.create(content="mail\n", created_by=cast.sam)

    [problem] = runs.preview(listed=listed, actor=cast.actor(cast.sam)).problems

    assert (problem.line, problem.column) == (1, "mail")


def test_bad_lines_are_kept_with_their_reasons(confirmed):
    listed = confirmed(numbered(BATCH) + "x@alder.test,gold,,\r\ny@alder.test,imap,,\r\n")

    runs.run(import_id=listed.pk, now=Clock())

    assert counts(listed) == ("finished", BATCH + 2, BATCH + 1, 1)
    assert (listed.problems[0]["line"], listed.problems[0]["column"]) == (BATCH + 2, "plan")


def test_only_who_uploaded_a_list_starts_it(cast):
    listed = taken_in(cast, file_name="list.csv", text=numbered(1), at=AT)

    with pytest.raises(runs.WrongState):
        runs.confirm(actor=cast.actor(cast.alice), listed=listed, at=AT)

    assert counts(listed)[0] == "checked"


def test_list_is_started_and_cancelled_once(cast, confirmed):
    listed = confirmed(numbered(1))

    with pytest.raises(runs.WrongState):
        runs.confirm(actor=cast.actor(cast.sam), listed=listed, at=AT)
    runs.cancel(actor=STAFF, listed=listed, at=AT)
    with pytest.raises(runs.WrongState):
        runs.cancel(actor=STAFF, listed=listed, at=AT)

    assert not tasks.run_import(import_id=listed.pk)
    assert counts(listed) == ("cancelled", 0, 0, 0)


def test_second_worker_keeps_off_while_the_first_one_holds_the_lease(confirmed):
    listed = confirmed(numbered(2 * BATCH))
    second = []
    clock = Clock(look=3, act=lambda: second.append(runs.run(import_id=listed.pk, now=Clock())))

    assert runs.run(import_id=listed.pk, now=clock)

    assert second == [False]
    assert counts(listed) == ("finished", 2 * BATCH, 2 * BATCH, 0)


def test_worker_that_was_held_up_loses_its_lease_and_does_nothing_twice(confirmed):
    listed = confirmed(numbered(3 * BATCH))
    later = Clock(AT + timedelta(minutes=10))
    second = []
    # The first worker stands still before its second piece, and wakes up when all is done.
    clock = Clock(look=3, act=lambda: second.append(runs.run(import_id=listed.pk, now=later)))

    assert not runs.run(import_id=listed.pk, now=clock)

    assert second == [True]
    assert counts(listed) == ("finished", 3 * BATCH, 3 * BATCH, 0)
    assert Mailbox.objects.count() == Contract.objects.count() == 3 * BATCH


class Killed(BaseException):
    """What no worker survives."""


@pytest.mark.parametrize("statement", ["hosting_contract", "accounts_event", "SAVEPOINT"])
def test_worker_killed_in_the_middle_of_a_piece_is_followed_by_another(confirmed, statement):
    listed = confirmed(numbered(3 * BATCH))

    def kill(execute, sql, params, many, context):
        if statement in sql and Mailbox.objects.count() > BATCH:
            raise Killed
        return execute(sql, params, many, context)

    with connection.execute_wrapper(kill), pytest.raises(Killed):
        runs.run(import_id=listed.pk, now=Clock())
    done = counts(listed)
    assert done[0] == "running"
    assert done[1] == done[2] == Mailbox.objects.count()
    assert runs.resume(now=Clock()) == 0
    assert runs.resume(now=Clock(AT + timedelta(minutes=10))) == 1

    assert counts(listed) == ("finished", 3 * BATCH, 3 * BATCH, 0)
    assert Mailbox.objects.count() == Contract.objects.count() == 3 * BATCH
    assert Event.objects.filter(kind="mailbox.created").count() == 3 * BATCH


def test_cancelled_list_stops_before_its_next_piece(confirmed):
    listed = confirmed(numbered(3 * BATCH))
    clock = Clock(look=3, act=lambda: runs.cancel(actor=STAFF, listed=listed, at=AT))

    assert not runs.run(import_id=listed.pk, now=clock)

    assert counts(listed) == ("cancelled", BATCH, BATCH, 0)


def test_sweep_takes_up_what_nobody_was_told_of(confirmed):
    listed = confirmed(numbered(2))

    assert tasks.resume_imports() == 1

    assert counts(listed) == ("finished", 2, 2, 0)


def test_address_taken_while_the_list_runs_is_looked_at_again(confirmed, cast):
    listed = confirmed(numbered(2))
    taken = []

    def take(execute, sql, params, many, context):
        if 'INSERT INTO "mailstore_mailbox"' in sql and not taken:
            taken.append(True)
            make_mailbox(cast.domain, "box1")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(take):
        runs.run(import_id=listed.pk, now=Clock())

    # What was taken inside the piece's own transaction went with it.
    assert counts(listed) == ("finished", 2, 2, 0)


@pytest.mark.parametrize("change", [{"is_active": False}, {"is_staff": False}])
def test_nothing_is_done_in_the_name_of_somebody_who_has_left(cast, confirmed, change):
    listed = confirmed(numbered(2))
    User.objects.filter(pk=cast.sam.pk).update(**change)

    tasks.resume_imports()

    assert counts(listed) == ("cancelled", 0, 0, 0)
    assert not Mailbox.objects.exists()


def test_page_makes_no_app_passwords(cast):
    text = as_csv(("a@alder.test", "imap", "Phone"), header=("address", "plan", "app_password"))

    with pytest.raises(UnreadableList) as refusal:
        taken_in(cast, file_name="list.csv", text=text, at=AT)

    assert refusal.value.problem.column == "app_password"
    assert not MailboxImport.objects.exists()


def test_page_reads_so_many_lines_and_no_more(monkeypatch):
    monkeypatch.setattr(runs, "MOST_RECORDS", 3)

    assert len(runs.read(numbered(3))) == 3
    with pytest.raises(UnreadableList, match="At most 3 lines"):
        runs.read(numbered(4))


# The command ----------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path, capsys):
    """Runs the command on a text or bytes; gives the exit code and what was said."""

    def command(content, *options):
        file = tmp_path / "list.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            call_command("import_mailboxes", str(file), *options)
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_command_opens_the_list(cast, command):
    assert command(numbered(3)) == (0, "3 mailboxes opened.\n", "")

    assert Mailbox.objects.count() == 3


def test_command_changes_nothing_in_a_dry_run(cast, command, tmp_path):
    passwords = tmp_path / "passwords.csv"
    before = Event.objects.count()

    code, out, err = command(numbered(3), "--dry-run", f"--passwords={passwords}")

    assert (code, out, err) == (0, "3 mailboxes could be opened; nothing was done.\n", "")
    assert (Mailbox.objects.count(), Event.objects.count()) == (0, before)
    assert not passwords.exists()


def test_command_does_all_or_nothing_unless_told_to_skip(cast, command):
    text = as_csv(("a@alder.test", "imap"), ("../b@alder.test", "imap"), ("c@alder.test", "gold"))
    complaint = "line 4, plan: There is no plan “gold”. The plans are: pop, imap.\n"

    code, out, err = command(text)
    assert (code, Mailbox.objects.count()) == (1, 0)
    assert out == "Nothing was done. --skip-bad opens the lines that are good.\n"
    assert err.startswith("line 3, address: ")
    assert err.endswith(complaint)

    code, out, err = command(text, "--skip-bad")
    assert (code, out) == (1, "1 mailboxes opened.\n")
    assert [mailbox.address for mailbox in Mailbox.objects.all()] == ["a@alder.test"]


def test_command_writes_secrets_where_only_one_person_reads_them(cast, command, tmp_path):
    passwords = tmp_path / "passwords.csv"
    passwords.touch(mode=0o644)
    header = ("address", "plan", "app_password")
    for name in ("a", "b"):
        text = as_csv((f"{name}@alder.test", "imap", "Phone"), header=header)
        code, out, err = command(text, f"--passwords={passwords}")
        assert (code, out, err) == (0, "1 mailboxes opened.\n", "")

    found = list(csv.DictReader(passwords.read_text().splitlines()))

    assert stat.S_IMODE(passwords.stat().st_mode) == 0o600
    assert [(line["address"], line["label"]) for line in found] == [
        ("a@alder.test", "Phone"),
        ("b@alder.test", "Phone"),
    ]
    digests = [credentials.digest(line["secret"]) for line in found]
    assert digests == list(AppPassword.objects.order_by("pk").values_list("digest", flat=True))


@pytest.mark.parametrize("kind", ["absent folder", "folder", "pipe", "link", "full disk"])
def test_command_opens_nothing_whose_secrets_it_cannot_write(cast, command, tmp_path, kind):
    place = tmp_path / "place"
    if kind == "absent folder":
        place /= "file"
    elif kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "link":
        place.symlink_to(tmp_path / "elsewhere")
    else:
        place = "/dev/full"
    text = as_csv(("a@alder.test", "imap", "Phone"), header=("address", "plan", "app_password"))

    with pytest.raises(CommandError, match=r"cannot be written|is not an ordinary file"):
        command(text, f"--passwords={place}")

    assert not Mailbox.objects.exists()


def test_command_stops_where_the_disk_is_full(cast, command, tmp_path):
    text = as_csv(("a@alder.test", "imap", "Phone"), header=("address", "plan", "app_password"))
    file = tmp_path / "list.csv"
    file.write_text(text)

    with (
        files_up_to(30),
        pytest.raises(CommandError, match="passwords cannot be written: File too large"),
    ):
        call_command("import_mailboxes", str(file), f"--passwords={tmp_path / 'passwords'}")

    assert not Mailbox.objects.exists()


def test_command_asks_where_secrets_go(cast, command):
    text = as_csv(("a@alder.test", "imap", "Phone"), header=("address", "plan", "app_password"))

    with pytest.raises(CommandError, match="Say where to write them: --passwords FILE"):
        command(text)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "line 1: The list is empty."),
        (b"address,plan\ncaf\xe9", "line 2: This is not UTF-8. Save the list as “CSV UTF-8”."),
        (b"address,plan\n\0", "line 2: There is a NUL here, so this is not a text."),
        (b"mail\n", "line 1, mail: There is no column “mail”. The columns are: address, "),
        (b"address,plan\n" + b"x" * 10_000_000, "line 2: The list cannot be read from here on"),
    ],
)
def test_command_says_in_one_sentence_what_is_wrong_with_the_file(command, content, said):
    with pytest.raises(CommandError) as refusal:
        command(content)

    assert str(refusal.value).startswith(said)
    assert refusal.value.returncode == 1


def test_command_says_that_a_file_cannot_be_read(tmp_path):
    for place, why in ((tmp_path / "absent", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(CommandError, match=f"cannot be read: {why}"):
            call_command("import_mailboxes", str(place))


def test_command_reads_no_endless_file(monkeypatch):
    monkeypatch.setattr("hosting.management.commands.import_mailboxes._MOST_BYTES", 1_000_000)

    with pytest.raises(CommandError, match="/dev/zero has more than 1 MB"):
        call_command("import_mailboxes", "/dev/zero")


def test_command_keeps_to_one_organisation(cast, command):
    text = as_csv(("a@alder.test", "imap"), ("a@juniper.test", "imap"))

    code, _out, err = command(text, "--organisation=Alder", "--skip-bad")

    assert (code, err) == (1, "line 3, address: juniper.test does not belong to Alder.\n")
    assert [mailbox.address for mailbox in Mailbox.objects.all()] == ["a@alder.test"]


@pytest.mark.parametrize("name", ["", "alder", "Al\0der", "' OR 1=1 --"])
def test_command_knows_no_such_organisation(cast, command, name):
    with pytest.raises(CommandError, match="There is no organisation"):
        command(numbered(1), "--organisation", name)


def test_command_asks_which_organisation_of_two(cast, command):
    Organisation.objects.create(kind="customer", name="Alder", parent=cast.provider)

    with pytest.raises(CommandError, match="Several organisations are named “Alder”"):
        command(numbered(1), "--organisation=Alder")
