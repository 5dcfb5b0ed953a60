"""An API key in words, for its pages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts.access import Actor
from accounts.models import ApiKey, Organisation
from hosting.scopes import IN_WORDS

_MOST_NAMES = 3


@dataclass(frozen=True, kw_only=True)
class KeyLine:
    """What pages say of a key. Load the key `with_reach`; nothing here asks the database."""

    api_key: ApiKey
    state: ApiKey.State
    for_whom: str
    scopes: tuple[str, ...]
    scopes_text: str
    networks_text: str
    used_from: str

    @classmethod
    def of(cls, api_key: ApiKey, *, reader: Actor, at: datetime) -> KeyLine:
        """The words that hold at a moment, as far as they are for this reader."""
        count = len(api_key.scopes)
        # A scope that is gone from the table still stands in old keys.
        words = tuple(str(IN_WORDS.get(scope, scope)) for scope in api_key.scopes)
        several = ngettext("%(count)s permission", "%(count)s permissions", count)
        return cls(
            api_key=api_key,
            state=api_key.state_at(at),
            for_whom=for_whom(api_key),
            scopes=words,
            scopes_text=words[0] if count == 1 else several % {"count": count},
            networks_text=", ".join(api_key.networks),
            used_from=api_key.used_from(reader) or "",
        )

    @property
    def works(self) -> bool:
        """Whether it opens anything, so that revoking it does something."""
        return self.state in {ApiKey.State.WORKING, ApiKey.State.REPLACED}

    @property
    def may_rotate(self) -> bool:
        """Whether it works and was not replaced."""
        return self.state is ApiKey.State.WORKING


def for_whom(api_key: ApiKey) -> str:
    """Whom it reaches, with the first few by name. Load the key `with_reach`."""
    holder = api_key.organisation
    if not api_key.is_narrow:
        has_more = holder.kind != Organisation.Kind.CUSTOMER
        return _("%(name)s and all below") % {"name": holder} if has_more else str(holder)
    reached = [
        each.name
        for each in api_key.narrowed_to.all()
        if holder.pk in each.lineage and each.is_test == api_key.is_test
    ]
    if not reached:
        return _("Nobody any more")
    more = len(reached) - _MOST_NAMES
    names = ", ".join(reached[:_MOST_NAMES])
    return (
        _("%(names)s and %(count)s more") % {"names": names, "count": more} if more > 0 else names
    )
