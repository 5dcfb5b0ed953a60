"""Mailboxes that staff order: the form, the price before the button, and the order."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import outbox
from accounts.access import Actor, Capability, Forbidden
from accounts.models import Organisation
from accounts.staff import StaffAdmin
from hosting import limits, ordering, quoting, selling
from hosting.models import Plan
from mailstore import provisioning
from mailstore.models import Domain, Mailbox

# What is known only when the order is placed: somebody else may have been a moment faster.
_REFUSALS = (provisioning.AddressTaken, limits.LimitReached, *selling.REFUSALS)
_CONFIRMED = "confirmed"
# The fields of the form, and which of its buttons says where to go afterwards.
_FIELDS = ("domain", "local_part", "plan", "label")
_CARRIED = frozenset({*_FIELDS, "_save", "_addanother", "_continue", "_popup", "_to_field"})


class NewMailboxForm(forms.ModelForm):  # type: ignore[type-arg]
    """An order, placed by staff for whoever owns the domain."""

    actor: Actor

    # Nothing is stripped: every door gives the same verdict on the same text.
    local_part = forms.CharField(label=_("Name before the @"), strip=False, max_length=200)
    plan = forms.ModelChoiceField(label=_("Plan"), queryset=Plan.objects.on_sale())

    class Meta:
        model = Mailbox
        fields = ("domain", "local_part", "label")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        domain, local_part = cleaned.get("domain"), cleaned.get("local_part")
        if domain is not None and (plan := cleaned.get("plan")) is not None:
            self._check_sold(domain.organisation, plan)
        if domain is not None and local_part is not None:
            try:
                cleaned["local_part"] = self._checked(domain, local_part)
            except ValidationError as refusal:
                self.add_error("local_part", refusal)
            except (provisioning.NoNewMailboxes, Forbidden) as refusal:
                self.add_error("domain", str(refusal))
        return cleaned

    def _check_sold(self, owner: Organisation, plan: Plan) -> None:
        try:
            selling.Shelf([owner], plans=[plan], at=timezone.now()).check(owner, plan)
        except selling.REFUSALS as refusal:
            self.add_error("plan", str(refusal))

    def _checked(self, domain: Domain, local_part: str) -> str:
        canonical = provisioning.check(actor=self.actor, domain=domain, local_part=local_part)
        address = f"{canonical}@{domain.name}"
        if Mailbox.objects.standing().filter(address=address).exists():
            raise ValidationError(_("This address is taken."), code="taken")
        return canonical


class OrderPages(StaffAdmin):
    """The page for a new mailbox, and the label of one that is there."""

    def get_form(
        self,
        request: HttpRequest,
        obj: Any = None,
        change: bool = False,  # noqa: FBT001, FBT002  # Django's signature
        **kwargs: Any,
    ) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        form: Any = super().get_form(request, obj, change, form=NewMailboxForm, **kwargs)
        form.actor = self.actor(request)
        return form

    def add_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form, then for staff who see money the price, then the order."""
        try:
            priced = self._priced(request)
            return super().add_view(request, *args, **kwargs) if priced is None else priced
        except _REFUSALS as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
            return HttpResponseRedirect(request.get_full_path())

    def _priced(self, request: HttpRequest) -> HttpResponse | None:
        """The page with the price of what was filled in; None where there is none to show now.

        It carries all that was posted along, so the order is what was looked at.
        """
        actor = self.actor(request)
        is_asked = request.method == "POST" and _CONFIRMED not in request.POST
        if not is_asked or not actor.can_everywhere(Capability.SEE_BILLS):
            return None
        if not self.has_add_permission(request):
            raise PermissionDenied
        form = self.get_form(request)(request.POST)
        if not form.is_valid():
            return None
        quote = quoting.order(
            actor=actor,
            domain=form.cleaned_data["domain"],
            local_part=form.cleaned_data["local_part"],
            plan=form.cleaned_data["plan"],
            at=timezone.now(),
        )
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("What %(address)s would cost") % {"address": quote.address},
            "opts": self.opts,
            "plan": form.cleaned_data["plan"],
            "owner": form.cleaned_data["domain"].organisation,
            "cost": quote.cost,
            "posted": [(name, request.POST[name]) for name in request.POST if name in _CARRIED],
            "confirmed": _CONFIRMED,
        }
        page = TemplateResponse(request, "admin/mailstore/mailbox/order.html", context)
        return cast("HttpResponse", page)

    def save_form(self, request: HttpRequest, form: Any, change: Any) -> Any:
        mailbox = super().save_form(request, form, change)
        if change:
            return mailbox
        return ordering.order(
            actor=self.actor(request),
            domain=form.cleaned_data["domain"],
            local_part=form.cleaned_data["local_part"],
            plan=form.cleaned_data["plan"],
            label=form.cleaned_data["label"],
            at=timezone.now(),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """A new mailbox is saved by its order already; of an old one only the label changes."""
        if not change or not form.has_changed():
            return
        Mailbox.objects.filter(pk=obj.pk).update(label=obj.label)
        outbox.record(
            kind="mailbox.updated",
            at=timezone.now(),
            actor=self.actor(request),
            organisation=obj.organisation,
            subject=obj.subject,
            data={"label": {"old": form.initial["label"], "new": obj.label}},
        )
