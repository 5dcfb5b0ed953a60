"""Who may sign in where, and what staff may see and do on the staff pages."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model
from django.http import HttpRequest

from accounts import membership
from accounts.models import User
from hosting import staff_rights


class PanelBackend(ModelBackend):
    """E-mail address and password; at a reseller's host name, for people of its tree alone.

    Everybody else is answered there as with a wrong password, after the same work. On the staff
    pages counts the role at the provider and nothing else: Django's own groups and permissions
    of one person are not looked at.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """The person, or None."""
        user = super().authenticate(request, username=username, password=password, **kwargs)
        seller_id = getattr(request, "seller_id", None)
        if not isinstance(user, User) or seller_id is None:
            return user
        return user if membership.actor_within(user, seller_id=seller_id) else None

    def has_perm(
        self,
        user_obj: User | AnonymousUser,
        perm: str,
        obj: Model | None = None,  # noqa: ARG002  # a role holds for all rows alike
    ) -> bool:
        """Whether the role of this member of staff has the permission, for all rows alike."""
        return staff_rights.permits(_role_of(user_obj), perm)

    def has_module_perms(self, user_obj: User | AnonymousUser, app_label: str) -> bool:
        """Whether the role shows anything of an app."""
        return staff_rights.sees_any(_role_of(user_obj), app_label)


def _role_of(user: User | AnonymousUser) -> str:
    """The role, looked up once for each request; nothing for all who are no staff."""
    if not isinstance(user, User) or not user.is_staff:
        return ""
    known = vars(user).get("_staff_role")
    if known is None:
        known = vars(user)["_staff_role"] = membership.actor_for(user).staff_role
    return str(known)
