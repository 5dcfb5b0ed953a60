"""Holds as staff see them: placed by one person, released by another, and never deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from accounts.access import Forbidden
from accounts.models import Organisation, User
from accounts.staff import is_key
from mailstore import holding
from mailstore.admin.acting import ActingAdmin, ReasonForm, answer
from mailstore.models import Domain, Hold, Mailbox

_SCOPES = ("mailboxes", "domains", "organisations")


class Chooser(AutocompleteSelectMultiple):
    """Suggestions while one types; what was sent and is no key stays out of the page's query."""

    def optgroups(self, name: str, value: Sequence[str], attr: Any = None) -> Any:
        return super().optgroups(name, [key for key in value if is_key(key)], attr)


class ScopeField(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Rows found by typing; a number that no row can have is none, and the database not asked."""

    def clean(self, value: Any) -> Any:
        for key in value or ():
            if not is_key(key):
                message, about = self.error_messages["invalid_pk_value"], {"pk": key}
                raise ValidationError(message, code="invalid_pk_value", params=about)
        return super().clean(value)


def _chooser(scope: Any) -> Chooser:
    return Chooser(scope.field, admin.site)


class HoldForm(forms.Form):
    """What is held, and why: one hold for each mailbox, domain and organisation."""

    mailboxes = ScopeField(
        label=_("Mailboxes"),
        required=False,
        queryset=Mailbox.objects.select_related("organisation__parent"),
        widget=_chooser(Hold.mailbox),
    )
    domains = ScopeField(
        label=_("Domains"),
        required=False,
        queryset=Domain.objects.select_related("organisation__parent"),
        widget=_chooser(Hold.domain),
        help_text=_("Everything in all mailboxes of the domain."),
    )
    organisations = ScopeField(
        label=_("Organisations"),
        required=False,
        queryset=Organisation.objects.select_related("parent"),
        widget=_chooser(Hold.organisation),
        help_text=_("Everything of the organisation and of those below it."),
    )
    matter = forms.CharField(
        label=_("Matter"), max_length=120, help_text=_("How it is called, for example “Case 7”.")
    )
    reason = forms.CharField(
        label=_("Reason"), max_length=2000, widget=forms.Textarea(attrs={"rows": 4, "cols": 60})
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and not self.scopes:
            message = _("Choose at least one mailbox, domain or organisation.")
            raise ValidationError(message, code="no_scope")
        return cleaned

    @property
    def scopes(self) -> list[holding.Scope]:
        """Everything that was chosen."""
        return [scope for name in _SCOPES for scope in self.cleaned_data[name]]


class StandingFilter(admin.SimpleListFilter):
    """Holds that still stop something, and those that did."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("standing", _("Standing")), ("released", _("Released"))]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() not in {"standing", "released"}:
            return queryset
        return queryset.filter(released_at__isnull=self.value() == "standing")


@admin.register(Hold)
class HoldAdmin(ActingAdmin):
    """The whole history of holds; a released one stays."""

    list_display = ("matter", "scope_text", "placer", "placed_at", "releaser", "released_at")
    list_select_related = (
        "organisation",
        "domain",
        "mailbox",
        "placed_by",
        "placed_by_key",
        "released_by",
        "released_by_key",
    )
    list_filter = (StandingFilter,)
    indexed_filters = frozenset({"state"})
    search_fields = (
        "matter",
        "reason",
        "mailbox__address",
        "domain__name",
        "organisation__name",
        "placed_by__email",
        "placed_by_key__label",
    )
    csv_columns = (
        "uuid",
        "matter",
        "reason",
        "organisation__name",
        "domain__name",
        "mailbox__address",
        "placed_by__email",
        "placed_by_key__uuid",
        "placed_at",
        "released_by__email",
        "released_by_key__uuid",
        "released_at",
        "release_reason",
    )
    fields = (
        "matter",
        "scope_text",
        "reason",
        "placer",
        "placed_at",
        "releaser",
        "released_at",
        "release_reason",
        "uuid",
    )
    actions = ("release",)

    @admin.display(description=_("held"))
    def scope_text(self, hold: Hold) -> str:
        return scope_text(hold)

    @admin.display(description=_("placed by"))
    def placer(self, hold: Hold) -> str:
        return hold.placer_text

    @admin.display(description=_("released by"))
    def releaser(self, hold: Hold) -> str:
        return hold.releaser_text

    def line(self, row: Hold) -> str:
        placed = gettext("placed by %(name)s on %(day)s")
        values = {"name": row.placer_text, "day": f"{row.placed_at:%-d %B %Y}"}
        return f"{row.matter}: {scope_text(row)}, {placed % values}"

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Placing a hold is no change of one, so the class above has nothing against it."""
        return request.user.has_perm("mailstore.add_hold")

    def is_offered(self, action: str, row: Hold) -> bool:
        return row.released_at is None

    # Each hold is placed in a transaction of its own, not in the one that Django's page would
    # open: it has to stand for workers before the verb waits for them.
    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = HoldForm(request.POST or None, initial=_initial(request.GET))
        if request.method == "POST" and form.is_valid() and self._place(request, form):
            return HttpResponseRedirect(reverse("admin:mailstore_hold_changelist"))
        return self.render(request, "hold/add", {"title": gettext("Place holds"), "form": form})

    def _place(self, request: HttpRequest, form: HoldForm) -> bool:
        actor, scopes = self.actor(request), form.scopes
        try:
            for scope in scopes:
                holding.place(
                    actor=actor,
                    by=cast("User", request.user),
                    scope=scope,
                    matter=form.cleaned_data["matter"],
                    reason=form.cleaned_data["reason"],
                    at=timezone.now(),
                )
        except (holding.HoldRefused, Forbidden) as refusal:
            form.add_error(None, str(refusal))
            return False
        done = ngettext(
            "%(count)s hold stands. Nothing below it is removed any more.",
            "%(count)s holds stand. Nothing below them is removed any more.",
            len(scopes),
        )
        self.message_user(request, done % {"count": len(scopes)}, messages.SUCCESS)
        return True

    @admin.action(description=_("Release …"), permissions=["act"])
    def release(self, request: HttpRequest, queryset: QuerySet[Hold]) -> HttpResponseBase | None:
        """Whoever placed one of them is refused, with the reason in the form."""
        actor, user, at = self.actor(request), cast("User", request.user), timezone.now()
        form = ReasonForm(answer(request))
        return self.ask_and_do(
            request,
            queryset,
            lambda hold: holding.release(
                actor=actor, by=user, hold=hold, reason=form.cleaned_data["reason"], at=at
            ),
            action="release",
            form=form,
            refusals=(holding.HoldRefused, Forbidden),
            explanation=gettext(
                "Removal goes on where no other hold stands. Somebody else than who placed a "
                "hold releases it; the reason stays with it."
            ),
            done_text=gettext("Holds that are released now: %(count)s."),
        )


def scope_text(hold: Hold) -> str:
    """What a hold stops."""
    if hold.mailbox is not None:
        return str(hold.mailbox)
    if hold.domain is not None:
        return gettext("all of %(domain)s") % {"domain": hold.domain}
    return gettext("%(organisation)s and all below") % {"organisation": hold.organisation}


def to_new_hold(scope: str, queryset: QuerySet[Any]) -> HttpResponseRedirect:
    """The page for new holds, with these rows chosen already."""
    chosen = QueryDict(mutable=True)
    chosen.setlist(scope, [str(row.pk) for row in queryset])
    return HttpResponseRedirect(f"{reverse('admin:mailstore_hold_add')}?{chosen.urlencode()}")


def _initial(asked: QueryDict) -> dict[str, Any]:
    return {name: [key for key in asked.getlist(name) if is_key(key)] for name in _SCOPES}
