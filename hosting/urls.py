"""Every address of the panel."""

from django.contrib import admin
from django.urls import include, path, register_converter

from hosting.periods import Period
from hosting.views import (
    alarms,
    billing,
    changes,
    costs,
    dashboard,
    domains,
    invoices,
    mailboxes,
    organisations,
    payments,
    plans,
    profiles,
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


class MonthConverter:
    """A month, as `2026-10`."""

    regex = "[0-9]{4}-[0-9]{2}"

    def to_python(self, value: str) -> Period:
        """The month; `ValueError` for one that no calendar has."""
        return Period.parse(value)

    def to_url(self, value: Period) -> str:
        """The other way round."""
        return str(value)


register_converter(ScopeConverter, "scope")
register_converter(MonthConverter, "month")

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
        path("<uuid:uuid>/plan", plans.choose, name="plans"),
        path("<uuid:uuid>/plan/back", plans.take_back, name="take_back_plan"),
        path("<uuid:uuid>/plan/to/<slug:slug>", plans.change, name="change_plan"),
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
billing_patterns = [
    path("", billing.home, name="home"),
    path("<uuid:uuid>/", billing.detail, name="detail"),
    path("<uuid:uuid>/summary", billing.summary, name="summary"),
    path("<uuid:uuid>/cap", billing.set_own_cap, name="set_own_cap"),
    path("<uuid:uuid>/cap-above", billing.set_cap_above, name="set_cap_above"),
    path("<uuid:uuid>/customers", billing.customers, name="customers"),
    path("<uuid:uuid>/usage/<month:month>.csv", billing.usage, name="usage"),
    path("mailboxes/<uuid:uuid>/", costs.detail, name="mailbox"),
    path("mailboxes/<uuid:uuid>/usage/<month:month>.csv", costs.usage, name="mailbox_usage"),
]
payment_patterns = [
    path("invoices/<uuid:uuid>/pay", payments.pay, name="pay"),
    path("invoices/<uuid:uuid>/payment", payments.payment, name="payment"),
]
provider_patterns = (
    [
        path("stripe/webhook", payments.webhook, name="stripe_webhook"),
    ],
    "payments",
)

invoice_patterns = [
    path("invoices/", invoices.received, name="invoices"),
    path("invoices/issued", invoices.issued, name="issued"),
    path("invoices/<uuid:uuid>/", invoices.detail, name="invoice"),
    path("invoices/<uuid:uuid>/pdf", invoices.pdf, name="invoice_pdf"),
    path("invoices/<uuid:uuid>/lines.csv", invoices.lines, name="invoice_lines"),
    path("invoices/<uuid:uuid>/logo", invoices.logo, name="invoice_logo"),
    path("invoices/<uuid:uuid>/statement", invoices.statement, name="statement"),
    path("invoices/<uuid:uuid>/statement.pdf", invoices.statement_pdf, name="statement_pdf"),
    path("profile/", profiles.profile_list, name="profiles"),
    path("profile/<uuid:uuid>/", profiles.detail, name="profile"),
    path("profile/<uuid:uuid>/logo", profiles.logo, name="profile_logo"),
    path("profile/<uuid:uuid>/logo/set", profiles.set_logo, name="set_logo"),
    path("profile/<uuid:uuid>/logo/remove", profiles.remove_logo, name="remove_logo"),
]

urlpatterns = [
    path("", include(public_patterns)),
    path("account/", include("accounts.urls")),
    path("overview/", include(dashboard_patterns)),
    path("domains/", include(domain_patterns)),
    path("mailboxes/alarms/", include(alarm_patterns)),
    path("mailboxes/", include(mailbox_patterns)),
    path("rules/", include(rule_patterns)),
    path("changes/", include(change_patterns)),
    path("billing/", include((billing_patterns + invoice_patterns + payment_patterns, "billing"))),
    path("payments/", include(provider_patterns)),
    path("organisations/", include(organisation_patterns)),
    path("staff/", admin.site.urls),
]
