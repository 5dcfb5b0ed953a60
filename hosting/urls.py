"""Every address of the panel."""

from django.contrib import admin
from django.urls import include, path, register_converter

from hosting.route_converters import ColourConverter, MonthConverter, ScopeConverter
from hosting.views import (
    acting,
    activity,
    alarms,
    billing,
    brand,
    changes,
    costs,
    customer,
    customer_lists,
    customers,
    dashboard,
    devices,
    domains,
    factor_demands,
    invoices,
    keys,
    look,
    mail_sign_in,
    mailboxes,
    message_fates,
    order,
    organisations,
    payments,
    payments_in,
    people,
    plans,
    profiles,
    public,
    recovery,
    reference,
    retail,
    retention,
    rules,
    set_up,
    sign_in_policy,
    webhooks,
    well_known,
)

register_converter(ScopeConverter, "scope")
register_converter(ColourConverter, "colour")
register_converter(MonthConverter, "month")

public_patterns = (
    [
        path("", public.choice, name="choice"),
        path("estimate", public.estimate, name="estimate"),
        path("healthz", public.health, name="health"),
        path(".well-known/security.txt", well_known.security_txt, name="security_txt"),
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
        path("<uuid:uuid>/", domains.detail, name="detail"),
        path("<uuid:uuid>/look", domains.look, name="look"),
    ],
    "domains",
)
organisation_patterns = (
    [
        path("<uuid:uuid>/close", organisations.close, name="close"),
        path("<uuid:uuid>/keep", organisations.keep, name="keep"),
        path("<uuid:uuid>/app-passwords", sign_in_policy.detail, name="app_passwords"),
        path(
            "<uuid:uuid>/app-passwords/new",
            sign_in_policy.set_default,
            name="default_app_passwords",
        ),
        path(
            "<uuid:uuid>/app-passwords/all",
            sign_in_policy.require_everywhere,
            name="require_app_passwords",
        ),
        path("<uuid:uuid>/second-factor", factor_demands.detail, name="factor"),
        path(
            "<uuid:uuid>/second-factor/<slug:reach>/demand",
            factor_demands.demand,
            name="demand_factor",
        ),
        path(
            "<uuid:uuid>/second-factor/<slug:reach>/withdraw",
            factor_demands.withdraw,
            name="withdraw_factor",
        ),
        path("<uuid:uuid>/second-factor/lost", factor_demands.lost, name="lost_factor"),
        path(
            "<uuid:uuid>/second-factor/lost/<uuid:loss_uuid>/call-off",
            factor_demands.found,
            name="found_factor",
        ),
    ],
    "organisations",
)
customer_patterns = (
    [
        path("", customers.customer_list, name="list"),
        path("open", customer.open_new, name="open"),
        path("leave", acting.leave, name="leave"),
        path("customers.csv", customer_lists.export, name="export"),
        path("lists/", customer_lists.bring, name="import"),
        path("lists/<uuid:uuid>/", customer_lists.detail, name="import_detail"),
        path("lists/<uuid:uuid>/confirm", customer_lists.confirm, name="import_confirm"),
        path("lists/<uuid:uuid>/cancel", customer_lists.cancel, name="import_cancel"),
        path("prices/", retail.prices, name="prices"),
        path("prices/<uuid:uuid>/", retail.detail, name="prices_of"),
        path("prices/<uuid:uuid>/own", retail.open_own, name="own_prices"),
        path("prices/<uuid:uuid>/set", retail.set_price, name="set_price"),
        path("prices/<uuid:uuid>/withdraw/<int:price_id>", retail.withdraw, name="withdraw_price"),
        path("<uuid:uuid>/", customer.detail, name="detail"),
        path("<uuid:uuid>/edit", customer.edit, name="edit"),
        path("<uuid:uuid>/suspend", customer.suspend, name="suspend"),
        path("<uuid:uuid>/resume", customer.resume, name="resume"),
        path("<uuid:uuid>/invite", customer.invite, name="invite"),
        path("<uuid:uuid>/enter", acting.enter, name="enter"),
    ],
    "customers",
)
people_patterns = (
    [
        path("", people.mine, name="list"),
        path("<uuid:uuid>/", people.detail, name="detail"),
        path("<uuid:uuid>/invite", people.invite, name="invite"),
        path("<uuid:uuid>/leave", people.leave, name="leave"),
        path(
            "<uuid:uuid>/invitations/<uuid:invitation_uuid>/send-again",
            people.send_again,
            name="send_again",
        ),
        path(
            "<uuid:uuid>/invitations/<uuid:invitation_uuid>/withdraw",
            people.withdraw,
            name="withdraw",
        ),
        path("<uuid:uuid>/members/<uuid:member_uuid>/role", people.change_role, name="change_role"),
        path("<uuid:uuid>/members/<uuid:member_uuid>/remove", people.remove, name="remove"),
    ],
    "people",
)
access_patterns = (
    [
        path("", acting.visit_list, name="list"),
    ],
    "access",
)
activity_patterns = (
    [
        path("", activity.home, name="home"),
        path("activity.csv", activity.as_csv, name="csv"),
        path("activity.jsonl", activity.as_json_lines, name="json_lines"),
        path("<uuid:uuid>/proof.jsonl", activity.proof, name="proof"),
    ],
    "activity",
)
mailbox_patterns = (
    [
        path("order", order.order, name="order"),
        path("order/price", order.order_price, name="order_price"),
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
        path("<uuid:uuid>/devices/", devices.detail, name="devices"),
        path("<uuid:uuid>/devices/letters", devices.letters, name="place_letters"),
        path("<uuid:uuid>/devices/<uuid:device_uuid>/mine", devices.confirm, name="confirm_device"),
        path(
            "<uuid:uuid>/devices/<uuid:device_uuid>/not-mine",
            devices.lock_out,
            name="lock_out_device",
        ),
        path(
            "<uuid:uuid>/devices/<uuid:device_uuid>/copies",
            devices.leave_copies,
            name="leave_copies",
        ),
        path("<uuid:uuid>/sign-ins/", devices.history, name="sign_ins"),
        path(
            "<uuid:uuid>/app-passwords/<uuid:password_uuid>",
            mail_sign_in.change_app_password,
            name="change_app_password",
        ),
        path(
            "<uuid:uuid>/app-passwords-only",
            mail_sign_in.require_app_passwords,
            name="require_app_passwords",
        ),
        path(
            "<uuid:uuid>/mailbox-password-too",
            mail_sign_in.allow_mailbox_password,
            name="allow_mailbox_password",
        ),
        path("<uuid:uuid>/end-sessions", mail_sign_in.end_sessions, name="end_sessions"),
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
        path("<uuid:uuid>/retention/limits", retention.set_thresholds, name="set_thresholds"),
        path("<uuid:uuid>/retention/messages", message_fates.index, name="fates"),
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
key_patterns = (
    [
        path("", keys.key_list, name="list"),
        path("make", keys.make, name="make"),
        path("<uuid:uuid>/", keys.detail, name="detail"),
        path("<uuid:uuid>/secret", keys.secret, name="secret"),
        path("<uuid:uuid>/rotate", keys.rotate, name="rotate"),
        path("<uuid:uuid>/revoke", keys.revoke, name="revoke"),
        path("<uuid:uuid>/revoke/all", keys.revoke_with_made, name="revoke_with_made"),
    ],
    "keys",
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
    path("invoices/<uuid:uuid>/received", payments_in.record, name="record_payment"),
    path(
        "invoices/<uuid:uuid>/received/<uuid:payment_uuid>/take-back",
        payments_in.take_back,
        name="take_back_payment",
    ),
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

reference_patterns = [
    path("reference", reference.home, name="home"),
    path("reference/<slug:slug>", reference.group, name="group"),
    path("quick-start", reference.quick_start, name="quick_start"),
    path("openapi.yaml", reference.document, name="document"),
]
webhook_patterns = (
    [
        path("", webhooks.endpoint_list, name="list"),
        path("new", webhooks.make, name="make"),
        path("<uuid:uuid>/", webhooks.detail, name="detail"),
        path("<uuid:uuid>/edit", webhooks.edit, name="edit"),
        path("<uuid:uuid>/secret", webhooks.rotate, name="rotate"),
        path("<uuid:uuid>/disable", webhooks.disable, name="disable"),
        path("<uuid:uuid>/enable", webhooks.enable, name="enable"),
        path("<uuid:uuid>/ping", webhooks.ping, name="ping"),
        path("<uuid:uuid>/remove", webhooks.remove, name="remove"),
        path("<uuid:uuid>/deliveries/<uuid:delivery_uuid>/", webhooks.delivery, name="delivery"),
        path(
            "<uuid:uuid>/deliveries/<uuid:delivery_uuid>/again",
            webhooks.send_again,
            name="send_again",
        ),
    ],
    "webhooks",
)
brand_patterns = (
    [
        path("<colour:accent>-<colour:accent_dark>-<slug:digest>.css", brand.style, name="style"),
        path("<uuid:uuid>/logo/<int:version>", brand.logo, name="logo"),
    ],
    "brand",
)
look_patterns = (
    [
        path("", look.mine, name="mine"),
        path("<uuid:uuid>/", look.detail, name="detail"),
        path("<uuid:uuid>/try", look.try_out, name="try_out"),
        path("<uuid:uuid>/preview/", look.preview, name="preview"),
        path("<uuid:uuid>/preview/logo", look.draft_logo, name="draft_logo"),
        path("<uuid:uuid>/keep", look.keep, name="keep"),
        path("<uuid:uuid>/forget", look.forget, name="forget"),
        path("<uuid:uuid>/put-back", look.put_back, name="put_back"),
        path("<uuid:uuid>/host", look.claim_host, name="claim_host"),
        path("<uuid:uuid>/host/look", look.look_at_host, name="look_at_host"),
        path("<uuid:uuid>/host/give-up", look.give_up_host, name="give_up_host"),
    ],
    "look",
)
tls_patterns = ([path("allowed", brand.tls_allowed, name="allowed")], "tls")

urlpatterns = [
    path("", include(public_patterns)),
    path("account/", include("accounts.urls")),
    path("overview/", include(dashboard_patterns)),
    path("domains/", include(domain_patterns)),
    path("mailboxes/alarms/", include(alarm_patterns)),
    path("mailboxes/", include(mailbox_patterns)),
    path("rules/", include(rule_patterns)),
    path("changes/", include(change_patterns)),
    path("keys/", include(key_patterns)),
    path("billing/", include((billing_patterns + invoice_patterns + payment_patterns, "billing"))),
    path("payments/", include(provider_patterns)),
    path("customers/", include(customer_patterns)),
    path("access/", include(access_patterns)),
    path("activity/", include(activity_patterns)),
    path("people/", include(people_patterns)),
    path("organisations/", include(organisation_patterns)),
    path("webhooks/", include(webhook_patterns)),
    path("api/", include((reference_patterns, "reference"))),
    path("api/v1/", include("hosting.api.urls", namespace="api")),
    path("brand/", include(brand_patterns)),
    path("look/", include(look_patterns)),
    path("tls/", include(tls_patterns)),
    path("staff/", admin.site.urls),
]
handler400 = "hosting.views.errors.bad_request"
handler500 = "hosting.views.errors.server_error"
