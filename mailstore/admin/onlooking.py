"""Rows about what happens in mailboxes: found by address, and no look at them is kept secret."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from mailstore import onlookers
from mailstore.admin.acting import ActingAdmin
from mailstore.models import Mailbox


class OnlookingAdmin(ActingAdmin):
    """What programs did in mailboxes, which each have as `mailbox`.

    The list of all mailboxes says nothing of where anybody is. Once somebody looks for a mailbox
    it does (`personal_columns`), and so does the page of a row; its owners are told who looked.
    """

    personal_columns: ClassVar[Sequence[str]] = ()
    list_select_related = ("mailbox__organisation",)
    # By how the address begins alone, because an index leads there.
    search_fields = ("mailbox__address__startswith",)
    search_help_text = _("How the address of the mailbox begins. Its owners read that you looked.")
    searches_by_index = True

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """The tree above each mailbox comes along, because every verb asks for it."""
        return super().get_queryset(request).select_related("mailbox__organisation__parent")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Addresses are stored in lower case, however somebody writes them."""
        return super().get_search_results(request, queryset, search_term.lower())

    def get_list_display(self, request: HttpRequest) -> tuple[Any, ...]:
        """From where people come is shown to whoever names a mailbox."""
        named = self.personal_columns if request.GET.get("q", "").strip() else ()
        return (*super().get_list_display(request), *named)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Note whose mailboxes were looked at, once it is known which are shown."""
        response = super().changelist_view(request, extra_context)
        shown = getattr(response, "context_data", None) or {}
        if request.GET.get("q", "").strip() and "cl" in shown:
            self._note(request, (row.mailbox for row in shown["cl"].result_list))
        return response

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if (row := context.get("original")) is not None:
            self._note(request, [row.mailbox])
        return super().render_change_form(request, context, *args, **kwargs)

    def links(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        """To the pages that the owner sees; an erased mailbox has none."""
        if row.mailbox.state == Mailbox.State.CLOSED:
            return []
        uuid = row.mailbox.uuid
        return [
            (gettext("Devices"), reverse("mailboxes:devices", args=[uuid])),
            (gettext("Sign-ins"), reverse("mailboxes:sign_ins", args=[uuid])),
        ]

    def _note(self, request: HttpRequest, mailboxes: Iterable[Mailbox]) -> None:
        actor, at = self.actor(request), timezone.now()
        for mailbox in {each.pk: each for each in mailboxes}.values():
            onlookers.note(actor=actor, mailbox=mailbox, at=at)
