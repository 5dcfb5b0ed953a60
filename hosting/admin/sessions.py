"""Who is signed in to the panel, where, and ending that."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import browser_names, sessions
from accounts.access import Forbidden
from accounts.models import OpenSession, SignedIn
from accounts.staff import KeysetChangeList
from mailstore.admin.acting import ActingAdmin, answer
from mailstore.admin.tables import Row, Table


class SignedInList(KeysetChangeList):
    """Those alone who have a session that lasts."""

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: Any = None
    ) -> QuerySet[SignedIn]:
        lasting = OpenSession.objects.lasting(at=timezone.now()).filter(user=OuterRef("pk"))
        found: QuerySet[SignedIn] = super().get_queryset(request, exclude_parameters)
        return found.filter(Exists(lasting))

    @property
    def is_searching(self) -> bool:
        """Many people may have no session, so a page says how far it looked."""
        return not self.query


class EndingForm(forms.Form):
    """Which session of one person; of several people all of them end."""

    which = forms.ChoiceField(label=_("Which"), required=False)

    def __init__(self, *args: Any, people: QuerySet[SignedIn], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        chosen = list(people[:2])
        listed = _listed(chosen[0]) if len(chosen) == 1 else []
        self.fields["which"].choices = [  # type: ignore[attr-defined]
            ("", gettext("All of them")),
            *((sessions.name_of(each), _line(each)) for each in listed),
        ]


@admin.register(SignedIn)
class SignedInAdmin(ActingAdmin):
    """People by their open sessions. Nothing here opens one."""

    list_display = ("email", "name", "is_staff")
    list_filter = ("is_staff",)
    # By how it begins alone, because an index leads there.
    search_fields = ("email__startswith",)
    search_help_text = _("How the e-mail address begins.")
    searches_by_index = True
    fields = ("email", "name", "is_staff", "last_login")
    actions = ("end_sessions",)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        return SignedInList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[SignedIn], search_term: str
    ) -> tuple[QuerySet[SignedIn], bool]:
        """Addresses are stored in lower case, however somebody writes them."""
        return super().get_search_results(request, queryset, search_term.lower())

    def tables(self, row: Any) -> list[Table]:
        """The sessions, the last used first."""
        listed = _listed(row)
        return [
            Table(
                title=gettext("Open sessions"),
                columns=(
                    *(gettext("Browser"), gettext("Address")),
                    *(gettext("Signed in"), gettext("Last seen")),
                ),
                rows=[
                    Row(
                        cells=(
                            *(browser_names.in_words(each.user_agent), each.address),
                            *(each.signed_in_at, each.seen_at),
                        )
                    )
                    for each in listed[: sessions.MOST_LISTED]
                ],
                empty=gettext("None."),
                has_more=len(listed) > sessions.MOST_LISTED,
            )
        ]

    @admin.action(description=_("End sessions …"), permissions=["act"])
    def end_sessions(
        self, request: HttpRequest, queryset: QuerySet[SignedIn]
    ) -> HttpResponse | None:
        """The end of one session of a person, or of all."""
        actor, at = self.actor(request), timezone.now()
        form = EndingForm(answer(request), people=queryset)
        return self.ask_and_do(
            request,
            queryset,
            lambda person: sessions.end_by_staff(
                actor=actor, user=person, name=form.cleaned_data["which"], at=at
            ),
            action="end_sessions",
            form=form,
            refusals=(Forbidden, sessions.NoSuchSession),
            explanation=gettext(
                "Whoever sits there has to sign in again. Passwords, second factors and keys of "
                "programs stay as they are."
            ),
            done_text=gettext("People whose sessions have ended: %(count)s."),
        )


def _listed(person: SignedIn) -> list[OpenSession]:
    found = OpenSession.objects.of(person, at=timezone.now()).defer("session_data")
    return list(found[: sessions.MOST_LISTED + 1])


def _line(session: OpenSession) -> str:
    browser = browser_names.in_words(session.user_agent)
    return f"{browser}, {session.address}, {session.seen_at:%Y-%m-%d %H:%M} UTC"
