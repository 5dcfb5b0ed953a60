"""Every address of the panel."""

from django.contrib import admin
from django.urls import include, path, register_converter

from hosting.views import (
    alarms,
    changes,
    dashboard,
    domains,
    mailboxes,
    organisations,
    public,
    recovery,
    retention,
    rules,
    set_up,
)


class ScopeConverter:
    """What a rule can be set on, beside a mailbox."""

    regex = "organisation|domain"

    def to_python(self, value: str) -> str:
        """The word itself."""
        return value

    def to_url(self, value: str) -> str:
        """The word itself."""
        return value


register_converter(ScopeConverter, "scope")

public_patterns = (
    [
        path("", public.choice, name="choice"),
        path("estimate", public.estimate, name="estimate"),
        path("healthz", public.health, name="health"),
    ],
    "public",
)
dashboard_patterns = (
    [
        path("", dashboard.overview, name="overview"),
    ],
    "dashboard",
)
domain_patterns = (
    [
        path("", domains.domain_list, name="list"),
        path("add", domains.add, name="add"),
    ],
    "domains",
)
organisation_patterns = (
    [
        path("<uuid:uuid>/close", organisations.close, name="close"),
        path("<uuid:uuid>/keep", organisations.keep, name="keep"),
    ],
    "organisations",
)
mailbox_patterns = (
    [
        path("order", mailboxes.order, name="order"),
        path("order/price", mailboxes.order_price, name="order_price"),
        path("<uuid:uuid>/", mailboxes.detail, name="detail"),
        path("<uuid:uuid>/use", mailboxes.use, name="use"),
        path("<uuid:uuid>/state", mailboxes.state, name="state"),
        path("<uuid:uuid>/set-up", set_up.detail, name="set_up"),
        path("<uuid:uuid>/test-message", set_up.send_test, name="send_test"),
        path("<uuid:uuid>/app-passwords", mailboxes.add_app_password, name="add_app_password"),
        path(
            "<uuid:uuid>/app-passwords/<uuid:password_uuid>/revoke",
            mailboxes.revoke_app_password,
            name="revoke_app_password",
        ),
        path("<uuid:uuid>/password", mailboxes.set_password, name="set_password"),
        path("<uuid:uuid>/limit", mailboxes.change_quota, name="change_quota"),
        path("<uuid:uuid>/suspend", mailboxes.suspend, name="suspend"),
        path("<uuid:uuid>/resume", mailboxes.resume, name="resume"),
        path("<uuid:uuid>/close", mailboxes.close, name="close"),
        path("<uuid:uuid>/reopen", mailboxes.reopen, name="reopen"),
        path("<uuid:uuid>/removed", recovery.removed, name="removed"),
        path("<uuid:uuid>/removed/restore", recovery.restore, name="restore"),
        path("<uuid:uuid>/removed/progress", recovery.progress, name="restore_progress"),
        path("<uuid:uuid>/removed/roll-back", recovery.roll_back, name="roll_back"),
        path("<uuid:uuid>/removed/empty", recovery.empty, name="empty_store"),
        path("<uuid:uuid>/retention", retention.detail, name="retention"),
        path("<uuid:uuid>/retention/rule", retention.set_rule, name="set_rule"),
        path("<uuid:uuid>/retention/rule/remove", retention.remove_rule, name="remove_rule"),
        path("<uuid:uuid>/retention/window", retention.set_window, name="set_window"),
        path("<uuid:uuid>/retention/tripwire", retention.set_tripwire, name="set_tripwire"),
    ],
    "mailboxes",
)

rule_patterns = (
    [
        path("", rules.scopes, name="scopes"),
        path("<scope:kind>/<uuid:uuid>/", rules.detail, name="detail"),
        path("<scope:kind>/<uuid:uuid>/set", rules.set_rule, name="set"),
        path("<scope:kind>/<uuid:uuid>/remove", rules.remove_rule, name="remove"),
    ],
    "rules",
)
alarm_patterns = (
    [
        path("<uuid:uuid>/", alarms.detail, name="detail"),
        path("<uuid:uuid>/dismiss", alarms.dismiss, name="dismiss"),
        path("<uuid:uuid>/roll-back", alarms.roll_back, name="roll_back"),
    ],
    "alarms",
)
change_patterns = (
    [
        path("", changes.change_list, name="list"),
        path("<uuid:uuid>/call-off", changes.call_off, name="call_off"),
    ],
    "changes",
)

urlpatterns = [
    path("", include(public_patterns)),
    path("account/", include("accounts.urls")),
    path("overview/", include(dashboard_patterns)),
    path("domains/", include(domain_patterns)),
    path("mailboxes/alarms/", include(alarm_patterns)),
    path("mailboxes/", include(mailbox_patterns)),
    path("rules/", include(rule_patterns)),
    path("changes/", include(change_patterns)),
    path("organisations/", include(organisation_patterns)),
    path("staff/", admin.site.urls),
]
