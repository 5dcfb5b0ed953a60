"""The views that Dovecot reads: who may sign in, how, and where the mail lies.

The SQL is the same for SQLite and PostgreSQL. A row says yes, or says no with a sentence
that a person understands; Dovecot shows it only after the right password.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations

PROTOCOLS = "(SELECT 'imap' AS proto, 'imap' AS bought UNION ALL SELECT 'pop3', 'pop') p"

# What keeps a mailbox from signing in, most general first.
REFUSED = """
    CASE
        WHEN m.state = 'suspended' THEN 'This mailbox is suspended. Contact your provider.'
        WHEN m.state = 'closing' THEN 'This mailbox is being closed. Contact your provider.'
        WHEN m.protocol <> p.bought AND p.proto = 'imap'
            THEN 'IMAP is not enabled for this mailbox. Use POP3 or contact your provider.'
        WHEN m.protocol <> p.bought
            THEN 'POP3 is not enabled for this mailbox. Use IMAP or contact your provider.'
        {more}
    END
"""

APP_PASSWORD_REFUSED = REFUSED.format(
    more="""
        WHEN p.proto = 'imap' AND NOT w.allows_imap
            THEN 'This app password is not meant for IMAP. Make one for it in the panel.'
        WHEN p.proto = 'pop3' AND NOT w.allows_pop
            THEN 'This app password is not meant for POP3. Make one for it in the panel.'
    """,
)

# A uuid is text with hyphens on PostgreSQL and without on SQLite.
HEX = "replace(CAST({column} AS text), '-', '')"
MAILBOX_HEX = HEX.format(column="m.uuid")

APP_PASSWORD = f"""
CREATE VIEW dovecot_app_password AS
SELECT username, proto, digest, device,
    CASE WHEN reason IS NOT NULL THEN 'y' END AS nologin, reason
FROM (
    SELECT m.address AS username, p.proto AS proto, w.digest AS digest,
        {HEX.format(column="w.uuid")} AS device, {APP_PASSWORD_REFUSED} AS reason
    FROM mailstore_apppassword w
    JOIN mailstore_mailbox m ON m.id = w.mailbox_id
    CROSS JOIN {PROTOCOLS}
    WHERE w.revoked_at IS NULL AND m.state <> 'closed'
) answers
"""

PASSDB = f"""
CREATE VIEW dovecot_passdb AS
SELECT username, proto, password,
    CASE WHEN reason IS NOT NULL THEN 'y' END AS nologin, reason
FROM (
    SELECT m.address AS username, p.proto AS proto, m.password_hash AS password,
        {REFUSED.format(more="")} AS reason
    FROM mailstore_mailbox m
    CROSS JOIN {PROTOCOLS}
    WHERE m.password_hash <> '' AND m.state <> 'closed'
) answers
"""

HOME = f"substr({MAILBOX_HEX}, 1, 2) || '/' || {MAILBOX_HEX}"

# The second half is for the sweep that erases homes: a closed mailbox is found by its uuid,
# never by an address that somebody else may have by now.
USERDB = f"""
CREATE VIEW dovecot_userdb AS
SELECT m.address AS username, {HOME} AS home,
    '*:bytes=' || CAST(m.quota_bytes AS text) AS quota_rule,
    CASE WHEN m.protocol = 'imap' THEN 'subscribe' ELSE 'no' END AS auto_folders,
    CASE WHEN m.refuses_when_full THEN 'no' ELSE 'yes' END AS quota_full_tempfail,
    CASE WHEN m.state = 'closing' THEN 'n' ELSE 'y' END AS receives
FROM mailstore_mailbox m
WHERE m.state <> 'closed'
UNION ALL
SELECT {MAILBOX_HEX} AS username, {HOME} AS home, '*:bytes=1' AS quota_rule,
    'no' AS auto_folders, 'no' AS quota_full_tempfail, 'n' AS receives
FROM mailstore_mailbox m
WHERE m.state = 'closed' AND m.erased_at IS NULL
"""

SQLITE_TRIGGER = """
CREATE TRIGGER mailstore_usage_note_change
AFTER UPDATE OF bytes, messages ON mailstore_usage
WHEN NEW.bytes <> OLD.bytes OR NEW.messages <> OLD.messages
BEGIN
    UPDATE mailstore_usage SET is_changed = 1 WHERE username = NEW.username;
END
"""

POSTGRESQL_TRIGGER = """
CREATE FUNCTION mailstore_usage_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.is_changed := true;
    RETURN NEW;
END
$$;
CREATE TRIGGER mailstore_usage_note_change
BEFORE UPDATE OF bytes, messages ON mailstore_usage
FOR EACH ROW WHEN (NEW.bytes <> OLD.bytes OR NEW.messages <> OLD.messages)
EXECUTE FUNCTION mailstore_usage_note_change();
"""


def create_trigger(apps: object, schema_editor: object) -> None:
    """Mark a usage report as changed, in the dialect of the database it lies in."""
    vendor = schema_editor.connection.vendor
    schema_editor.execute(SQLITE_TRIGGER if vendor == "sqlite" else POSTGRESQL_TRIGGER)


def drop_trigger(apps: object, schema_editor: object) -> None:
    """Undo `create_trigger`."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER mailstore_usage_note_change")
    else:
        schema_editor.execute("DROP FUNCTION mailstore_usage_note_change() CASCADE")


class Migration(migrations.Migration):
    """Views and trigger, apart from the tables they stand on."""

    dependencies: ClassVar = [("mailstore", "0001_initial")]

    operations: ClassVar = [
        migrations.RunSQL(sql=APP_PASSWORD, reverse_sql="DROP VIEW dovecot_app_password"),
        migrations.RunSQL(sql=PASSDB, reverse_sql="DROP VIEW dovecot_passdb"),
        migrations.RunSQL(sql=USERDB, reverse_sql="DROP VIEW dovecot_userdb"),
        migrations.RunPython(create_trigger, drop_trigger, hints={"reports": True}),
    ]
