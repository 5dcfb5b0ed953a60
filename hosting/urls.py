"""Every address of the panel."""

from django.contrib import admin
from django.urls import include, path

from hosting.views import dashboard, domains, mailboxes, public

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
mailbox_patterns = (
    [
        path("order", mailboxes.order, name="order"),
        path("order/price", mailboxes.order_price, name="order_price"),
        path("<uuid:uuid>/", mailboxes.detail, name="detail"),
        path("<uuid:uuid>/use", mailboxes.use, name="use"),
        path("<uuid:uuid>/state", mailboxes.state, name="state"),
        path("<uuid:uuid>/set-up", mailboxes.set_up, name="set_up"),
        path("<uuid:uuid>/test-message", mailboxes.send_test, name="send_test"),
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
    ],
    "mailboxes",
)

urlpatterns = [
    path("", include(public_patterns)),
    path("account/", include("accounts.urls")),
    path("overview/", include(dashboard_patterns)),
    path("domains/", include(domain_patterns)),
    path("mailboxes/", include(mailbox_patterns)),
    path("staff/", admin.site.urls),
]
