"""An installation of before is brought to the present with rows, views and triggers whole.

The database that the suite itself runs on was made from nothing by the same migrations, so it
says how one that was brought forward has to look.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(databases="__all__")
# The last migration of each app as it first went out.
FIRST_RELEASE = {
    "accounts": "0004_tries_of_notices",
    "mailstore": "0017_mail_server_views_with_standing",
    "hosting": "0018_dunning",
}
AT = datetime(2026, 10, 5, 12, tzinfo=UTC)
ADDRESS = "anna@garden.test"
# These Django itself adds to, for each new table.
GROWING = {"django_migrations", "django_content_type", "auth_permission"}
SCHEMA = {
    "sqlite": "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite%'",
    "postgresql": """
        SELECT 'column', table_name::text, column_name::text,
            concat_ws(' ', ordinal_position, data_type, column_default, is_nullable)
        FROM information_schema.columns WHERE table_schema = 'public'
        UNION ALL SELECT 'index', tablename, indexname, indexdef
        FROM pg_indexes WHERE schemaname = 'public'
        UNION ALL SELECT 'constraint', conrelid::regclass::text, conname,
            pg_get_constraintdef(oid)
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid)
        FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT 'view', viewname, '', definition
        FROM pg_views WHERE schemaname = 'public'
        UNION ALL SELECT 'function', proname, '', pg_get_functiondef(oid)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """,
}


def read(sql, parameters=(), using="default"):
    with connections[using].cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def write(sql, using="default"):
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute(sql)


def schema():
    return {alias: sorted(read(SCHEMA[connection.vendor], using=alias)) for alias in connections}


def columns(alias):
    """Of each table, the names of its columns."""
    look = connections[alias].introspection
    with connections[alias].cursor() as cursor:
        tables = set(look.table_names(cursor)) - GROWING
        return {
            table: [column.name for column in look.get_table_description(cursor, table)]
            for table in tables
        }


def rows(tables):
    """All that lies in the columns that are named, by database and table."""
    return {
        (alias, table): sorted(content(alias, table, names), key=repr)
        for alias, names_of in tables.items()
        for table, names in names_of.items()
    }


def content(alias, table, names):
    quoted = ", ".join(map(connection.ops.quote_name, names))
    return read(f"SELECT {quoted} FROM {table}", using=alias)  # noqa: S608


@contextmanager
def empty_database(alias, name):
    """Whoever asks for `alias` gets an empty database instead."""
    usual = connections[alias]
    if usual.vendor == "postgresql":
        # By this Django itself makes the databases of tests.
        with usual._nodb_cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    connections[alias] = usual.copy()
    connections[alias].settings_dict["NAME"] = name
    try:
        yield
    finally:
        connections[alias].close()
        connections[alias] = usual
        if usual.vendor == "postgresql":
            with usual._nodb_cursor() as cursor:
                cursor.execute(f"DROP DATABASE {name}")


def migrate_to_first_release():
    for alias in connections:
        executor = MigrationExecutor(connections[alias])
        leaves = executor.loader.graph.leaf_nodes()
        others = [leaf for leaf in leaves if leaf[0] not in FIRST_RELEASE]
        targets = [*FIRST_RELEASE.items(), *others]
        executor.migrate(targets)
    # Put together anew: what a library's migration looked at half-way stays as it was then.
    return executor.loader.project_state(targets).apps.get_model


def people_and_mail(model):
    """A customer of a reseller with a mailbox that a phone reads; gives the customer."""
    organisations = model("accounts", "Organisation").objects
    provider = organisations.create(kind="provider", name="House")
    reseller = organisations.create(kind="reseller", name="Rita", parent=provider)
    customer = organisations.create(kind="customer", name="Garden", parent=reseller)
    domain = model("mailstore", "Domain").objects.create(name="garden.test", organisation=customer)
    mailbox = model("mailstore", "Mailbox").objects.create(
        address=ADDRESS,
        local_part="anna",
        protocol="imap",
        state="active",
        domain=domain,
        organisation=customer,
        quota_bytes=10**9,
        window_days=30,
    )
    model("mailstore", "AppPassword").objects.create(mailbox=mailbox, label="Phone", digest="d")
    model("mailstore", "Usage").objects.create(username=ADDRESS, bytes=4096, messages=2)
    plan = model("hosting", "Plan").objects.get(slug="imap")
    model("hosting", "Contract").objects.create(mailbox=mailbox, plan=plan, starts_at=AT)
    model("accounts", "Event").objects.create(
        kind="mailbox.ordered",
        at=AT,
        actor_kind="user",
        organisation=customer,
    )
    return customer


def money(model, customer):
    """A bill, paid in part."""
    price = model("hosting", "Price").objects.first()
    bill = model("hosting", "Invoice").objects.create(
        number="T-1",
        period=date(2026, 9, 1),
        issued_at=AT,
        currency="EUR",
        customer=customer,
        price_list=price.price_list,
        vat_percent=0,
        net_minor=500,
        vat_minor=0,
        total_minor=500,
        seller_text={"name": "House"},
        customer_text={"name": "Garden"},
    )
    model("hosting", "InvoiceLine").objects.create(
        invoice=bill,
        price=price,
        position=1,
        period=bill.period,
        seconds=1,
        used_byte_seconds=1,
        included_byte_seconds=1,
        net_minor=500,
    )
    model("hosting", "OpenItem").objects.create(
        invoice=bill, due_on=date(2026, 10, 19), billed_minor=500, open_minor=500
    )
    payment = model("hosting", "Payment").objects.create(
        customer=customer,
        source="staff",
        currency="EUR",
        amount_minor=300,
        received_on=date(2026, 10, 5),
        recorded_at=AT,
    )
    for kind, paid_bill in (("received", None), ("matched", bill)):
        model("hosting", "LedgerEntry").objects.create(
            kind=kind,
            at=AT,
            currency="EUR",
            amount_minor=300,
            payment=payment,
            invoice=paid_bill,
            actor_kind="user",
        )


@pytest.fixture(scope="module")
def upgraded(django_db_setup, django_db_blocker, tmp_path_factory):
    """What was there before and how the schema has to be; the databases are the upgraded ones."""
    folder = tmp_path_factory.mktemp("first-release")
    with django_db_blocker.unblock(), ExitStack() as stack:
        made_anew = schema()
        for alias in connections:
            is_file = connections[alias].vendor == "sqlite"
            name = str(folder / alias) if is_file else "first_release"
            stack.enter_context(empty_database(alias, name))
        model = migrate_to_first_release()
        money(model, people_and_mail(model))
        tables = {alias: columns(alias) for alias in connections}
        before = rows(tables)
        for alias in connections:
            call_command("migrate", database=alias, verbosity=0)
        yield {"made_anew": made_anew, "tables": tables, "before": before}


def test_an_upgraded_database_looks_like_one_made_anew(upgraded):
    assert schema() == upgraded["made_anew"]


def test_an_upgrade_leaves_every_row_as_it_was(upgraded):
    assert sum(map(len, upgraded["before"].values())) > 20

    assert rows(upgraded["tables"]) == upgraded["before"]


def test_an_upgrade_leaves_no_row_that_points_nowhere(upgraded):
    for alias in connections:
        connections[alias].check_constraints()
        if connection.vendor == "sqlite":
            assert read("PRAGMA integrity_check", using=alias) == [("ok",)]


def test_a_mailbox_of_before_signs_in_after_an_upgrade(upgraded):
    answers = read(
        "SELECT proto, digest, nologin FROM dovecot_app_password"
        " WHERE username = %s AND proto <> 'submission' ORDER BY proto",
        [ADDRESS],
    )
    [(receives, rights)] = read(
        "SELECT receives, rights FROM dovecot_userdb WHERE username = %s", [ADDRESS]
    )

    assert answers == [("imap", "d", None), ("pop3", "d", "y")]
    assert (receives, rights) == ("y", "all")


def test_the_meter_goes_on_after_an_upgrade(upgraded):
    alias = "default" if connection.vendor == "postgresql" else "reports"
    write("UPDATE mailstore_usage SET since = since - 3 * 86400, is_changed = false", using=alias)
    write("UPDATE mailstore_usage SET bytes = 9000", using=alias)

    assert read("SELECT is_changed FROM mailstore_usage", using=alias)[0][0]
    assert sum(days for (days,) in read("SELECT days FROM mailstore_usageday", using=alias)) == 3


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE hosting_invoice SET total_minor = 1",
        "UPDATE hosting_invoiceline SET net_minor = 1",
        "UPDATE hosting_ledgerentry SET amount_minor = 1",
        "UPDATE hosting_payment SET amount_minor = 1",
        "UPDATE hosting_openitem SET billed_minor = 1",
        (
            "UPDATE hosting_price SET monthly_price = 1 WHERE id IN"
            " (SELECT price_id FROM hosting_invoiceline)"
        ),
        (
            "UPDATE mailstore_mailbox SET organisation_id ="
            " (SELECT id FROM accounts_organisation WHERE kind = 'reseller')"
        ),
        "UPDATE accounts_organisation SET kind = 'provider' WHERE kind = 'customer'",
        "UPDATE accounts_organisation SET is_test = true WHERE kind = 'reseller'",
    ],
)
def test_what_was_final_stays_final_after_an_upgrade(upgraded, statement):
    with pytest.raises(IntegrityError):
        write(statement)


def test_the_ledger_posts_after_an_upgrade(upgraded):
    assert read("SELECT open_minor FROM hosting_openitem") == [(200,)]
    write(
        "INSERT INTO hosting_ledgerentry (kind, at, currency, amount_minor, reason, actor_kind,"
        " actor_id, actor_name, payment_id, invoice_id, reverses_id)"
        " SELECT kind, at, currency, -amount_minor, reason, actor_kind, actor_id, actor_name,"
        " payment_id, invoice_id, id FROM hosting_ledgerentry WHERE kind = 'matched'"
    )

    assert read("SELECT open_minor FROM hosting_openitem") == [(500,)]
