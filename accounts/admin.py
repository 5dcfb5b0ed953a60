"""Staff pages for people: organisations, users and what happened."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.forms import AdminUserCreationForm, UserChangeForm
from django.contrib.auth.models import Group
from django.db.models import ForeignKey
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django_otp.plugins.otp_totp.admin import TOTPDevice

from accounts import membership, outbox
from accounts.models import SWITCHES, Event, Membership, Organisation, User, UserManager
from accounts.staff import ReadOnlyAdmin, StackedInline, StaffAdmin

# Their own pages delete without a trace, and would show the secret of everybody's second factor.
admin.site.unregister((Group, TOTPDevice))

# What restrictions make of an organisation; they are imposed and lifted elsewhere.
_STANDING = ("state", "state_since", *SWITCHES)


@admin.register(Organisation)
class OrganisationAdmin(StaffAdmin):
    """Who owns things. What kind it is and where it hangs in the tree is settled once."""

    list_display = ("name", "kind", "parent", "state", "created_at")
    list_filter = ("kind", "state")
    list_select_related = ("parent",)
    search_fields = ("name",)
    fields = ("name", "kind", "parent", *_STANDING, "uuid", "created_at")
    csv_columns = ("name", "kind", "parent__name", "state", "uuid", "created_at")
    autocomplete_fields = ("parent",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        settled = ("kind", "parent") if obj else ()
        return (*settled, *_STANDING, "uuid", "created_at")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Leave an event with the row, in the transaction of the page."""
        super().save_model(request, obj, form, change)
        outbox.record(
            kind="organisation.updated" if change else "organisation.created",
            at=timezone.now(),
            actor=self.actor(request),
            organisation=obj,
            subject=("organisation", str(obj.uuid), obj.name),
        )


class MembershipInline(StackedInline):
    """The organisations of one user."""

    model = Membership
    extra = 0
    autocomplete_fields = ("organisation",)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("organisation__parent", "user")

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        """Membership of the provider makes somebody staff, so only a superuser gives it."""
        if db_field.name == "organisation":
            organisations = Organisation.objects.select_related("parent")
            if not cast("User", request.user).is_superuser:
                organisations = organisations.exclude(kind=Organisation.Kind.PROVIDER)
            kwargs["queryset"] = organisations
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


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

    class Meta:
        model = User
        fields = "__all__"
        field_classes: dict[str, type[forms.Field]] = {}


@admin.register(User)
class UserAdmin(StaffAdmin, DjangoUserAdmin):  # type: ignore[type-arg]
    """People who sign in. Only a superuser appoints staff, or changes somebody who is."""

    form = UserForm
    add_form = NewUserForm
    inlines = (MembershipInline,)
    list_display = ("email", "name", "is_active", "is_staff", "created_at")
    ordering = ("email",)
    list_filter = ("is_active", "is_staff", "is_superuser")
    search_fields = ("email", "name")
    readonly_fields = ("created_at", "last_login")
    csv_columns = ("email", "name", "is_active", "is_staff", "created_at", "last_login")
    filter_horizontal = ()
    fieldsets = (
        (None, {"fields": ("email", "name", "password", "is_active")}),
        (_("Rights"), {"fields": ("is_staff", "is_superuser", "groups", "user_permissions")}),
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

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        fixed = ("created_at", "last_login")
        if cast("User", request.user).is_superuser:
            return fixed
        return (*fixed, "is_staff", "is_superuser", "groups", "user_permissions")

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """A new user first has to exist."""
        return self.inlines if obj else ()

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_above = obj is not None and (obj.is_staff or obj.is_superuser)
        if is_above and not cast("User", request.user).is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: Any) -> None:
        """Give and take roles by the verb, or with an event of their own."""
        changed = formset.save(commit=False)
        # The formset's own rows have been changed by the form already.
        stored = Membership.objects.select_related("user").in_bulk([each.pk for each in changed])
        for gone in formset.deleted_objects:
            self._remove(request, gone)
        for member in changed:
            before = stored.get(member.pk)
            if before and before.organisation_id != member.organisation_id:
                self._remove(request, before)
            membership.add_member(
                actor=self.actor(request),
                organisation=member.organisation,
                user=member.user,
                role=member.role,
                at=timezone.now(),
            )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:  # noqa: FBT001  # Django's signature
        super().save_related(request, form, formsets, change)
        self._record(request, form.instance, "user.updated" if change else "user.created")

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        """The page for passwords has no other place to hear of the change from."""
        if "password" in request.path.rsplit("/", 2)[-2]:
            self._record(request, obj, "user.password_set")
        return super().log_change(request, obj, message)

    def _remove(self, request: HttpRequest, gone: Membership) -> None:
        Membership.objects.filter(pk=gone.pk).delete()
        organisation = Organisation.objects.get(pk=gone.organisation_id)
        self._record(request, gone.user, "member.removed", organisation)

    def _record(
        self,
        request: HttpRequest,
        user: User,
        kind: str,
        organisation: Organisation | None = None,
    ) -> None:
        """Users belong to no organisation; the event goes to the first one they are in."""
        found = organisation or _home(user)
        if found is not None:
            outbox.record(
                kind=kind,
                at=timezone.now(),
                actor=self.actor(request),
                organisation=found,
                subject=("user", str(user.pk), user.email),
            )


@admin.register(Group)
class GroupAdmin(StaffAdmin, DjangoGroupAdmin):
    """Rights that several members of staff have; only a superuser gives them."""

    search_fields = ("name",)
    filter_horizontal = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return cast("User", request.user).is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return cast("User", request.user).is_superuser


def _home(user: User) -> Organisation | None:
    own = Organisation.objects.filter(memberships__user=user).order_by("memberships__pk").first()
    return own or Organisation.objects.filter(kind=Organisation.Kind.PROVIDER).first()


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
        ]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.filter(subject_kind=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The audit trail."""

    list_display = ("at", "kind", "subject_name", "actor_name", "organisation")
    list_select_related = ("organisation",)
    list_filter = (SubjectFilter, "actor_kind")
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
        "data",
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
        "data",
    )
