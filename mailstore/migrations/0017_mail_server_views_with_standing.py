"""The views that Dovecot reads, made again: they look at the organisation and its reseller too.

Signing in, receiving and sending are switches of the organisation. What a reseller's row says
of those `below` holds for its customers; what it says of itself holds for its own mailboxes.
"""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar

from django.db import migrations

# `bought` is the protocol that a mailbox needs for it; sending comes with both.
PROTOCOLS = """(
        SELECT 'imap' AS proto, 'imap' AS bought
        UNION ALL SELECT 'pop3', 'pop'
        UNION ALL SELECT 'submission', 'any'
    ) p"""
OWNERS = """
    JOIN accounts_organisation o ON o.id = m.organisation_id
    LEFT JOIN accounts_organisation r ON r.id = o.parent_id
"""

# Word for word as the index of addresses says it: SQLite compares the text, and would look at
# every mailbox at each sign-in. For the same reason both halves of a name are text.
STANDS = "NOT (m.state = 'closed')"

# What keeps a mailbox from signing in, most general first.
REFUSED = """
    CASE
        WHEN o.sign_in = 'shut'
            THEN 'Signing in is stopped for your organisation. The panel says why.'
        WHEN r.sign_in_below = 'shut'
            THEN 'Signing in is stopped for now. Ask the company you have this mailbox from.'
        WHEN p.proto = 'submission' AND (o.sending = 'shut' OR r.sending_below = 'shut')
            THEN 'Sending is stopped for your organisation. The panel says why.'
        WHEN m.state = 'suspended' THEN 'This mailbox is suspended. Contact your provider.'
        WHEN m.state = 'closing' THEN 'This mailbox is being closed. Contact your provider.'
        WHEN m.frozen_at IS NOT NULL
            THEN 'This mailbox is locked: much mail was removed at once. Unlock it in the panel.'
        WHEN m.protocol <> p.bought AND p.proto = 'imap'
            THEN 'IMAP is not enabled for this mailbox. Use POP3 or contact your provider.'
        WHEN m.protocol <> p.bought AND p.proto = 'pop3'
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
    {OWNERS}
    CROSS JOIN {PROTOCOLS}
    WHERE w.revoked_at IS NULL AND {STANDS}
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
    {OWNERS}
    CROSS JOIN {PROTOCOLS}
    WHERE m.password_hash <> '' AND {STANDS}
) answers
"""

HOME = f"substr({MAILBOX_HEX}, 1, 2) || '/' || {MAILBOX_HEX}"

# `put_off` is what a sender's server hears while mail has to wait there, `rights` names the
# file of rights that a session gets, and `sends` is for a service that takes mail from
# programs. The second half is for the sweep that erases homes: a closed mailbox is found by
# its uuid, never by an address that somebody else may have by now. Both halves have the same
# types, or PostgreSQL would make all rows before it looks for one.
USERDB = f"""
CREATE VIEW dovecot_userdb AS
SELECT m.address AS username, {HOME} AS home,
    '*:bytes=' || CAST(m.quota_bytes AS text) AS quota_rule,
    CASE WHEN m.protocol = 'imap' THEN 'subscribe' ELSE 'no' END AS auto_folders,
    CASE WHEN m.refuses_when_full THEN 'no' ELSE 'yes' END AS quota_full_tempfail,
    CASE WHEN m.state = 'closing' THEN 'n' ELSE 'y' END AS receives,
    CASE WHEN o.receiving = 'put_off' OR r.receiving_below = 'put_off'
        THEN 'This mailbox takes no mail for now. Try again later.' END AS put_off,
    CASE WHEN o.sign_in = 'read_only' OR r.sign_in_below = 'read_only'
        THEN 'read-only' ELSE 'all' END AS rights,
    CASE WHEN o.sending = 'shut' OR r.sending_below = 'shut' THEN 'shut'
        WHEN o.sending = 'limited' OR r.sending_below = 'limited' THEN 'limited'
        ELSE 'open' END AS sends
FROM mailstore_mailbox m
{OWNERS}
WHERE {STANDS}
UNION ALL
SELECT CAST({MAILBOX_HEX} AS varchar(254)) AS username, {HOME} AS home, '*:bytes=1' AS quota_rule,
    'no' AS auto_folders, 'no' AS quota_full_tempfail, 'n' AS receives,
    CAST(NULL AS text) AS put_off, 'all' AS rights, 'shut' AS sends
FROM mailstore_mailbox m
WHERE m.state = 'closed' AND m.erased_at IS NULL
"""


def drop_views(apps: object, schema_editor: object) -> None:
    """Take the views away."""
    for name in ("dovecot_app_password", "dovecot_passdb", "dovecot_userdb"):
        schema_editor.execute(f"DROP VIEW {name}")


def create_views(apps: object, schema_editor: object) -> None:
    """Make them as they stand here."""
    for view in (APP_PASSWORD, PASSDB, USERDB):
        schema_editor.execute(view)


def create_views_of_before(apps: object, schema_editor: object) -> None:
    """Make them as they were."""
    frozen = import_module("mailstore.migrations.0004_mail_server_views_with_freeze")
    before = frozen.before
    for view in (
        frozen.with_freeze(before.APP_PASSWORD),
        frozen.with_freeze(before.PASSDB),
        before.USERDB,
    ):
        schema_editor.execute(view)


class Migration(migrations.Migration):
    """Views only, apart from the tables they stand on."""

    dependencies: ClassVar = [
        ("accounts", "0003_organisation_standing"),
        ("mailstore", "0016_restrictions"),
    ]

    operations: ClassVar = [
        migrations.RunPython(drop_views, create_views_of_before),
        migrations.RunPython(create_views, drop_views),
    ]
