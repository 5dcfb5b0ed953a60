"""The meter: each report of the mail server adds to an exact integral, in the database itself.

Times are whole seconds of Unix time, days are whole days of it (UTC). The clock may be set
back; the meter then stands still until it has caught up.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models

import mailstore.models.reports

SQLITE = """
CREATE TRIGGER mailstore_usage_meter
AFTER UPDATE OF bytes, messages ON mailstore_usage
WHEN NEW.bytes <> OLD.bytes OR NEW.messages <> OLD.messages
BEGIN
    INSERT INTO mailstore_usageday (username, day, days, byte_seconds)
    SELECT OLD.username, OLD.since / 86400, 1,
        OLD.day_byte_seconds + OLD.bytes * (86400 - OLD.since % 86400)
    WHERE unixepoch() / 86400 > OLD.since / 86400
        AND OLD.day_byte_seconds + OLD.bytes * (86400 - OLD.since % 86400) > 0;
    INSERT INTO mailstore_usageday (username, day, days, byte_seconds)
    SELECT OLD.username, OLD.since / 86400 + 1,
        unixepoch() / 86400 - OLD.since / 86400 - 1, OLD.bytes * 86400
    WHERE unixepoch() / 86400 > OLD.since / 86400 + 1 AND OLD.bytes > 0;
    UPDATE mailstore_usage SET
        is_changed = 1,
        day_byte_seconds = CASE
            WHEN unixepoch() <= OLD.since THEN OLD.day_byte_seconds
            WHEN unixepoch() / 86400 = OLD.since / 86400
            THEN OLD.day_byte_seconds + OLD.bytes * (unixepoch() - OLD.since)
            ELSE OLD.bytes * (unixepoch() % 86400)
        END,
        since = max(unixepoch(), OLD.since)
    WHERE username = NEW.username;
END
"""
POSTGRESQL_CLOCK = """
CREATE FUNCTION mailstore_unix_now() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT floor(extract(epoch FROM clock_timestamp()))::bigint
$$
"""
# The role of the mail server may not write the table of days, so its part of the work is done
# by a function that may. It runs once a day for a mailbox that changes.
POSTGRESQL = """
CREATE FUNCTION mailstore_usage_close_days(
    username varchar, since bigint, day_byte_seconds bigint, bytes bigint, now bigint
) RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO mailstore_usageday (username, day, days, byte_seconds)
    SELECT * FROM (VALUES
        (username, (since / 86400)::integer, 1,
            day_byte_seconds + bytes * (86400 - since % 86400)),
        (username, (since / 86400 + 1)::integer,
            (now / 86400 - since / 86400 - 1)::integer, bytes * 86400)
    ) AS closed (username, day, days, byte_seconds)
    WHERE closed.days > 0 AND closed.byte_seconds > 0
$$;
CREATE FUNCTION mailstore_usage_meter() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    now bigint := mailstore_unix_now();
BEGIN
    NEW.is_changed := true;
    IF now <= OLD.since THEN
        RETURN NEW;
    END IF;
    IF now / 86400 = OLD.since / 86400 THEN
        NEW.day_byte_seconds := OLD.day_byte_seconds + OLD.bytes * (now - OLD.since);
    ELSE
        PERFORM mailstore_usage_close_days(
            OLD.username, OLD.since, OLD.day_byte_seconds, OLD.bytes, now
        );
        NEW.day_byte_seconds := OLD.bytes * (now % 86400);
    END IF;
    NEW.since := now;
    RETURN NEW;
END
$$;
CREATE TRIGGER mailstore_usage_meter
BEFORE UPDATE OF bytes, messages ON mailstore_usage
FOR EACH ROW WHEN (NEW.bytes <> OLD.bytes OR NEW.messages <> OLD.messages)
EXECUTE FUNCTION mailstore_usage_meter();
"""


def clear_the_way(apps: object, schema_editor: object) -> None:
    """Take away the trigger that only marked a report; SQLite would lose it below anyhow."""
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TRIGGER mailstore_usage_note_change")
    else:
        schema_editor.execute(POSTGRESQL_CLOCK)
        schema_editor.execute("DROP FUNCTION mailstore_usage_note_change() CASCADE")


def create_meter(apps: object, schema_editor: object) -> None:
    """Install the meter in the dialect of the database that the reports lie in."""
    vendor = schema_editor.connection.vendor
    schema_editor.execute(SQLITE if vendor == "sqlite" else POSTGRESQL, params=None)


class Migration(migrations.Migration):
    """The meter counts from the moment this runs."""

    dependencies: ClassVar = [("mailstore", "0009_pending_change_of_a_policy")]

    operations: ClassVar = [
        migrations.RunPython(clear_the_way, elidable=False, hints={"reports": True}),
        migrations.AddField(
            model_name="usage",
            name="since",
            field=models.BigIntegerField(
                db_default=mailstore.models.reports.UnixNow(), editable=False
            ),
        ),
        migrations.AddField(
            model_name="usage",
            name="day_byte_seconds",
            field=models.BigIntegerField(db_default=0, default=0, editable=False),
        ),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("username", models.CharField(max_length=254)),
                ("day", models.IntegerField(verbose_name="first day")),
                ("days", models.IntegerField(default=1, verbose_name="days")),
                ("byte_seconds", models.BigIntegerField(verbose_name="byte-seconds a day")),
            ],
            options={
                "verbose_name": "use by day",
                "verbose_name_plural": "use by day",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("username", "day"), name="mailstore_usageday_once"
                    ),
                ],
            },
        ),
        migrations.RunPython(create_meter, elidable=False, hints={"reports": True}),
    ]
