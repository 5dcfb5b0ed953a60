"""Staff pages for people: organisations, users and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts import address_changes, outbox, passwords, people, personal_facts
from accounts.access import Forbidden
from accounts.models import (
    SWITCHES,
    Checkpoint,
    Event,
    EventCheck,
    Membership,
    Organisation,
    User,
    UserManager,
)
from accounts.staff import ReadOnlyAdmin, StackedInline, StaffAdmin

# Its own page deletes without a trace, and what staff may do follows their role
# (`hosting.staff_rights`), so groups would do nothing.
admin.site.unregister(Group)

# What restrictions make of an organisation, and what it says of itself; both change elsewhere.
_STANDING = ("state", "state_since", "unanswered_since", *SWITCHES, "app_passwords_only")
# What of a person's row is told with its old value when staff change it.
_TOLD = ("name",)
# What `address_changes.set_by_staff` tells.
_TOLD_BY_VERB = {"email", "is_former_lost"}


@admin.register(Organisation)
class OrganisationAdmin(StaffAdmin):
    """Who owns things. Of what kind, below whom and whether for testing is settled once."""

    list_display = ("name", "kind", "is_test", "parent", "state", "created_at")
    list_filter = (
        "kind",
        "state",
        "is_test",
        ("unanswered_since", admin.EmptyFieldListFilter),
    )
    list_select_related = ("parent",)
    search_fields = ("name",)
    fields = ("name", "kind", "parent", "is_test", *_STANDING, "uuid", "created_at")
    csv_columns = ("name", "kind", "is_test", "parent__name", "state", "uuid", "created_at")
    autocomplete_fields = ("parent",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        settled = ("kind", "parent", "is_test") if obj else ()
        return (*settled, *_STANDING, "uuid", "created_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Leave an event with the row, in the transaction of the page."""
        # The rest of the row may have changed since the page read it.
        obj.save(update_fields=["name"] if change else None)
        changed = {
            name: {"old": form.initial.get(name), "new": form.cleaned_data[name]}
            for name in form.changed_data
            if change and name == "name"
        }
        outbox.record(
            kind="organisation.updated" if change else "organisation.created",
            at=timezone.now(),
            actor=self.actor(request),
            organisation=obj,
            subject=("organisation", str(obj.uuid), obj.name),
            data=changed,
        )


class MembershipInline(StackedInline):
    """The organisations of one user; roles are given and taken on the pages of their people."""

    model = Membership
    extra = 0
    fields = readonly_fields = ("organisation", "role", "people")
    can_delete = False

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("organisation__parent", "user")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description=_("change it"))
    def people(self, member: Membership) -> str:
        path = reverse("people:detail", args=[member.organisation.uuid])
        return format_html('<a href="{}">{}</a>', path, gettext("People of the organisation"))


class NewUserForm(AdminUserCreationForm):  # type: ignore[type-arg]
    """E-mail address, name and a password, or none."""

    class Meta:
        model = User
        fields = ("email", "name")

    def clean_email(self) -> str:
        """The spelling that is stored and compared."""
        return UserManager.canonical(self.cleaned_data["email"])


class UserForm(UserChangeForm):  # type: ignore[type-arg]
    """A user as staff see one; the hash is shown by Django's own widget, shortened."""

    is_former_lost = forms.BooleanField(
        label=_("Somebody else reads the former address"),
        required=False,
        help_text=_(
            "Another address holds at once: sessions end, and the former address is told and can "
            "take it back for seven days. Tick this if somebody else reads that by now, and it "
            "cannot."
        ),
    )

    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, type[forms.Field]] = {}

    def clean_email(self) -> str:
        """The spelling that is stored and compared, of an address that is nobody else's."""
        email = UserManager.canonical(self.cleaned_data["email"])
        is_other = email != self.initial["email"]
        if is_other and address_changes.is_taken(email, at=timezone.now(), but=self.instance):
            raise forms.ValidationError(
                _("Somebody signs in with this address, or may come back to it for some days.")
            )
        return email


@admin.register(User)
class UserAdmin(StaffAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    """People who sign in. Who is staff, and with what role, the people of the house say."""

    form = UserForm
    add_form = NewUserForm
    inlines = (MembershipInline,)
    list_display = ("email", "name", "is_active", "is_staff", "created_at")
    ordering = ("email",)
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    readonly_fields = ("is_active", "is_staff", "is_superuser", "created_at", "last_login")
    csv_columns = ("email", "name", "is_active", "is_staff", "created_at", "last_login")
    filter_horizontal = ()
    actions: Sequence[str] = ("let_in_again",)
    fieldsets = (
        (None, {"fields": ("email", "is_former_lost", "name", "password", "is_active")}),
        (_("Rights"), {"fields": ("is_staff", "is_superuser")}),
        (_("Dates"), {"fields": ("created_at", "last_login")}),
    )
    add_fieldsets = (
        (
            None,
            {
                "classes": ("wide",),
                "fields": ("email", "name", "usable_password", "password1", "password2"),
            },
        ),
    )

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A new user first has to exist."""
        return self.inlines if obj else ()

    @admin.action(description=_("Let in again"), permissions=["change"])
    def let_in_again(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        actor, at = self.actor(request), timezone.now()
        self.for_each(
            request,
            queryset,
            lambda user: people.let_in_again(actor=actor, user=user, at=at),
            refusals=(Forbidden,),
            done_text=gettext("Let in again: %(count)s. Keys that were revoked stay so."),
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Another address goes through its verb, which tells the former one.

        What the page does not change may have changed since it read the row.
        """
        email = obj.email
        is_moving = change and "email" in form.changed_data
        if is_moving:
            obj.email = form.initial["email"]
        obj.save(update_fields=["name"] if change else None)
        if not is_moving:
            return
        try:
            address_changes.set_by_staff(
                actor=self.actor(request),
                user=obj,
                email=email,
                is_former_lost=form.cleaned_data["is_former_lost"],
                at=timezone.now(),
            )
        except address_changes.Refused as refusal:
            # Somebody else was given it since the form was looked at.
            self.message_user(request, str(refusal), messages.ERROR)
        obj.refresh_from_db()

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001  # Django's signature
        super().save_related(request, form, formsets, change)
        if change and form.changed_data and not {*form.changed_data} - _TOLD_BY_VERB:
            return
        changed = {
            name: {"old": form.initial.get(name), "new": form.cleaned_data[name]}
            for name in form.changed_data
            if change and name in _TOLD
        }
        personal_facts.record(
            kind="user.updated" if change else "user.created",
            user=form.instance,
            actor=self.actor(request),
            at=timezone.now(),
            data=changed,
        )

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The page for passwords has no other place to hear of the change from."""
        if "password" in request.path.rsplit("/", 2)[-2]:
            passwords.replaced_by_staff(actor=self.actor(request), user=obj, at=timezone.now())
        return super().log_change(request, obj, message)


class SubjectFilter(admin.SimpleListFilter):
    """Events by what they are about, from a fixed list: asking the table would read all of it."""

    title = _("about")
    parameter_name = "about"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("organisation", _("Organisations")),
            ("user", _("Users")),
            ("domain", _("Domains")),
            ("mailbox", _("Mailboxes")),
            ("app_password", _("App passwords")),
            ("api_key", _("API keys")),
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(subject_kind=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The audit trail."""

    list_display = ("at", "kind", "subject_name", "actor_name", "organisation")
    list_select_related = ("organisation",)
    list_filter = (SubjectFilter, "actor_kind", "standing", "door")
    search_fields = ("kind", "subject_name", "actor_name")
    csv_columns = (
        "seq",
        "at",
        "kind",
        "organisation__name",
        "subject_kind",
        "subject_id",
        "subject_name",
        "actor_kind",
        "actor_name",
        "standing",
        "role",
        "door",
        "address",
        "session",
        "data",
        "position",
        "link",
    )
    fields = (
        "seq",
        "at",
        "kind",
        "organisation",
        "subject_kind",
        "subject_id",
        "subject_name",
        "actor_kind",
        "actor_id",
        "actor_name",
        "standing",
        "role",
        "visit",
        "door",
        "address",
        "session",
        "data",
        "position",
        "link",
    )


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    """Where the chain of events stood each day."""

    list_display = ("at", "position", "link")
    csv_columns = ("at", "position", "link", "seal")
    fields = ("at", "position", "link", "seal")


@admin.register(EventCheck)
class EventCheckAdmin(ReadOnlyAdmin):
    """Whether the events are as they were written, as the weekly look found."""

    list_display = ("started_at", "finished_at", "position", "fault_count")
    fields = ("started_at", "finished_at", "position", "fault_count", "faults")
