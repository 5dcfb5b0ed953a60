"""Where sessions are kept, by `settings.SESSION_ENGINE`: Django's rows, with more columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore as DatabaseStore
from django.utils import timezone

from accounts import sessions
from accounts.models import OpenSession

# When the person signed in, in seconds since 1970. It stays when the key of the session changes.
_SIGNED_IN_AT = "signed_in_at"


class SessionStore(DatabaseStore):
    """Sessions that know whose they are, from where they come, and that end after a while."""

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._row: OpenSession | None = None
        self._address = self._user_agent = ""

    @classmethod
    def get_model_class(cls) -> type[OpenSession]:
        """The rows."""
        return OpenSession

    def comes_from(self, *, address: str, user_agent: str) -> None:
        """Which browser holds the cookie, as `SessionClientMiddleware` sees it."""
        # No address is longer, but a proxy that is set up wrongly may send anything.
        self._address, self._user_agent = address[:45], sessions.readable_agent(user_agent)

    def note_use(self, *, at: datetime) -> None:
        """Write down that the browser came, if the row was read and is not to be written anyway."""
        row = self._row
        if row is None or row.session_key != self.session_key or self.modified:
            return
        if sessions.is_worth_noting(row, address=self._address, at=at):
            sessions.note_use(row, address=self._address, user_agent=self._user_agent, at=at)

    def _get_session_from_db(self) -> OpenSession | None:
        row: OpenSession | None = super()._get_session_from_db()  # type: ignore[misc]
        if row is not None and sessions.is_over(row, at=timezone.now()):
            self._session_key, row = None, None
        self._row = row
        return row

    def create_model_instance(self, data: dict[str, Any]) -> OpenSession:
        """The row as it is to be."""
        now = timezone.now()
        if SESSION_KEY in data:
            data.setdefault(_SIGNED_IN_AT, int(now.timestamp()))
        row: OpenSession = super().create_model_instance(data)  # type: ignore[assignment]
        row.seen_at = now
        if SESSION_KEY in data:
            row.user_id = int(data[SESSION_KEY])
            row.signed_in_at = datetime.fromtimestamp(data[_SIGNED_IN_AT], tz=UTC)
        before = self._row
        row.address = self._address or (before.address if before else "")
        row.user_agent = self._user_agent or (before.user_agent if before else "")
        row.expire_date = sessions.ends_at(signed_in_at=row.signed_in_at, seen_at=now)
        return row
