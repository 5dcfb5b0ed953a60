"""Organisations and people with what only the composition root knows: bulk deeds and visits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import membership, people
from accounts.access import Forbidden
from accounts.admin import OrganisationAdmin, UserAdmin
from accounts.models import Organisation, User
from hosting.admin.bulk import BulkActions
from hosting.admin.visits import VisitingPages
from mailstore.admin.acting import answer
from mailstore.admin.tables import Row, Table, url_of

admin.site.unregister((Organisation, User))


@admin.register(Organisation)
class ActingOrganisationAdmin(VisitingPages, BulkActions, OrganisationAdmin):
    """Organisations, which staff stop, let go on, and come into."""

    deeds: ClassVar[Mapping[str, str]] = {
        "stop": "stop_organisations",
        "lift": "lift_organisations",
    }

    def is_offered(self, action: str, row: Organisation) -> bool:
        return row.kind != Organisation.Kind.PROVIDER

    def visited(self, row: Organisation) -> list[Organisation]:
        return [row]


class ShutOutForm(forms.Form):
    """Whether it is meant even where nobody else answers for an organisation."""

    leaves_unanswered = forms.BooleanField(
        label=_("Also where nobody answers for an organisation then"),
        required=False,
        help_text=_("The start page names those until somebody is made an owner there."),
    )


@admin.register(User)
class VisitingUserAdmin(VisitingPages, UserAdmin):
    """People, with a way into the customers that they belong to, and the way out for some."""

    actions = ("shut_out", *UserAdmin.actions)

    def is_offered(self, action: str, row: User) -> bool:
        return row.is_active == (action == "shut_out")

    def visited(self, row: User) -> list[Organisation]:
        of_person = Organisation.objects.filter(memberships__user=row)
        return list(of_person.select_related("parent__parent").order_by("name")[:20])

    @admin.action(
        description=_("Shut out at once, with the keys they made …"), permissions=["change"]
    )
    def shut_out(self, request: HttpRequest, queryset: QuerySet[User]) -> HttpResponse | None:
        """The end of all that somebody can do here, after a look at who is left then."""
        actor, at = self.actor(request), timezone.now()
        form = ShutOutForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda user: people.shut_out(
                actor=actor,
                user=user,
                leaves_unanswered=form.cleaned_data["leaves_unanswered"],
                at=at,
            ),
            action="shut_out",
            form=form,
            refusals=(membership.Refused, Forbidden),
            explanation=gettext(
                "They are out of every open session, sign in no more, and the keys they made are "
                "revoked for good. Their roles count again if they are let in again."
            ),
            done_text=gettext("Shut out: %(count)s. Their roles and sessions count no more."),
            foresee=lambda users: [_left_by(users)],
        )


def _left_by(users: Sequence[User]) -> Table:
    return Table(
        title=gettext("For whom nobody would answer any more"),
        columns=(gettext("Organisation"), gettext("Last owner")),
        rows=[
            Row(cells=(each, user), url=url_of(each))
            for user in users
            for each in people.answered_by_alone(user)
        ],
        empty=gettext("None: somebody else owns each of their organisations."),
    )
