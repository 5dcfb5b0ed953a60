"""Whoever is signed in stays so: sessions move into the table that knows whose they are."""

from datetime import UTC, datetime
from typing import Any, ClassVar

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import migrations


def move_sessions(apps: Any, schema_editor: Any) -> None:
    """Those that last, with a person who exists; the former table keeps none."""
    sessions = apps.get_model("sessions", "Session").objects
    now, store = datetime.now(tz=UTC), SessionStore()
    known = set(apps.get_model("accounts", "User").objects.values_list("pk", flat=True))
    for session in sessions.filter(expire_date__gt=now).iterator():
        person = store.decode(session.session_data).get(SESSION_KEY)
        if person is not None and int(person) in known:
            apps.get_model("accounts", "OpenSession").objects.create(
                session_key=session.session_key,
                session_data=session.session_data,
                expire_date=session.expire_date,
                user_id=int(person),
                signed_in_at=now,
                seen_at=now,
            )
    sessions.all().delete()


class Migration(migrations.Migration):
    dependencies: ClassVar = [
        ("accounts", "0014_sign_in_of_people"),
        ("sessions", "0001_initial"),
    ]

    operations: ClassVar = [
        migrations.RunPython(move_sessions, migrations.RunPython.noop),
    ]
