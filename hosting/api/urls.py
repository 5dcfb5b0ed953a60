"""The addresses of the API."""

from django.urls import include, path, re_path

from hosting.api import (
    api_keys,
    app_passwords,
    audit_log,
    batch,
    converters,
    domains,
    events,
    exports,
    holds,
    imports,
    invoices,
    mail_devices,
    mailbox_retention,
    mailboxes,
    members,
    message_fates,
    one_mailbox,
    operations,
    organisations,
    pending_changes,
    plan_changes,
    plans,
    purge_runs,
    recoverable,
    restore_runs,
    retention_rules,
    sign_in,
    test_clocks,
    upcoming,
    usage,
    webhook_endpoints,
)
from hosting.api.endpoint import Nowhere

converters.register()

_MAILBOX = "mailboxes/<mbx:mailbox>"
_ORGANISATION = "organisations/<org:organisation>"
_CHANGE = "pending-changes/<chg:change>"
_PURGE = "purge-runs/<prg:run>"

app_name = "api"
_webhook_patterns = [
    path(
        "<whe:endpoint>",
        webhook_endpoints.OneWebhookEndpoint.as_view(),
        name="webhook_endpoint",
    ),
    path(
        "<whe:endpoint>/rotate-secret",
        webhook_endpoints.WebhookSecretRotation.as_view(),
        name="webhook_secret_rotation",
    ),
    path(
        "<whe:endpoint>/disable",
        webhook_endpoints.WebhookDisabling.as_view(),
        name="webhook_disabling",
    ),
    path(
        "<whe:endpoint>/enable",
        webhook_endpoints.WebhookEnabling.as_view(),
        name="webhook_enabling",
    ),
    path("<whe:endpoint>/ping", webhook_endpoints.WebhookPing.as_view(), name="webhook_ping"),
    path(
        "<whe:endpoint>/deliveries",
        webhook_endpoints.WebhookDeliveries.as_view(),
        name="webhook_deliveries",
    ),
    path(
        "<whe:endpoint>/deliveries/<whd:delivery>/send-again",
        webhook_endpoints.WebhookRedelivery.as_view(),
        name="webhook_redelivery",
    ),
]

urlpatterns = [
    path("webhook-endpoints", webhook_endpoints.WebhookEndpoints.as_view(), name="webhooks"),
    path("webhook-endpoints/", include(_webhook_patterns)),
    path("api-keys", api_keys.ApiKeys.as_view(), name="api_keys"),
    path("api-keys/<key:key>", api_keys.OneApiKey.as_view(), name="api_key"),
    path("api-keys/<key:key>/rotate", api_keys.ApiKeyRotation.as_view(), name="api_key_rotation"),
    path("audit-log", audit_log.AuditLog.as_view(), name="audit_log"),
    path("credit-notes", invoices.CreditNotes.as_view(), name="credit_notes"),
    path("credit-notes/<crn:note>", invoices.OneCreditNote.as_view(), name="credit_note"),
    path("exports", exports.Exports.as_view(), name="exports"),
    path("exports/<exp:export>", exports.OneExport.as_view(), name="export"),
    path("exports/<exp:export>/content", exports.ExportContent.as_view(), name="export_content"),
    path("imports", imports.Imports.as_view(), name="imports"),
    path("imports/<imp:listed>", imports.OneImport.as_view(), name="import"),
    path(
        "imports/<imp:listed>/confirm", imports.Confirmation.as_view(), name="import_confirmation"
    ),
    path("imports/<imp:listed>/cancel", imports.Cancellation.as_view(), name="import_cancellation"),
    path("invoices", invoices.Invoices.as_view(), name="invoices"),
    path("invoices/upcoming", upcoming.UpcomingInvoice.as_view(), name="upcoming_invoice"),
    path("invoices/<inv:invoice>", invoices.OneInvoice.as_view(), name="invoice"),
    path("invoices/<inv:invoice>/lines", invoices.InvoiceLines.as_view(), name="invoice_lines"),
    path("events", events.Events.as_view(), name="events"),
    path("events/<evt:event>", events.OneEvent.as_view(), name="event"),
    path("organisations", organisations.Organisations.as_view(), name="organisations"),
    path(
        _ORGANISATION,
        organisations.OneOrganisation.as_view(),
        name="organisation",
    ),
    path(
        f"{_ORGANISATION}/suspend",
        organisations.Suspension.as_view(),
        name="organisation_suspension",
    ),
    path(
        f"{_ORGANISATION}/resume",
        organisations.Resumption.as_view(),
        name="organisation_resumption",
    ),
    path(
        f"{_ORGANISATION}/keep",
        organisations.Keeping.as_view(),
        name="organisation_keeping",
    ),
    path(f"{_ORGANISATION}/members", members.Members.as_view(), name="members"),
    path(f"{_ORGANISATION}/members/<mem:member>", members.OneMember.as_view(), name="member"),
    path(f"{_ORGANISATION}/invitations", members.Invitations.as_view(), name="invitations"),
    path(
        f"{_ORGANISATION}/invitations/<ivt:invitation>",
        members.OneInvitation.as_view(),
        name="invitation",
    ),
    path(f"{_ORGANISATION}/usage", usage.OrganisationUsage.as_view(), name="organisation_usage"),
    path(f"{_ORGANISATION}/test-clock", test_clocks.TestClocks.as_view(), name="test_clock"),
    path(
        f"{_ORGANISATION}/test-clock/advance",
        test_clocks.ClockAdvances.as_view(),
        name="clock_advances",
    ),
    path("operations", operations.Operations.as_view(), name="operations"),
    path("operations/<opn:operation>", operations.OneOperation.as_view(), name="operation"),
    path("plans", plans.Plans.as_view(), name="plans"),
    path("plans/<slug:plan>", plans.OnePlan.as_view(), name="plan"),
    path("batch", batch.Batch.as_view(), name="batch"),
    path("domains", domains.Domains.as_view(), name="domains"),
    path("domains/<dom:domain>", domains.OneDomain.as_view(), name="domain"),
    path("domains/<dom:domain>/verify", domains.DomainCheck.as_view(), name="domain_check"),
    path("holds", holds.Holds.as_view(), name="holds"),
    path("holds/<hld:hold>", holds.OneHold.as_view(), name="hold"),
    path("holds/<hld:hold>/release", holds.Release.as_view(), name="hold_release"),
    path("mailboxes", mailboxes.Mailboxes.as_view(), name="mailboxes"),
    path(f"{_MAILBOX}/usage", usage.MailboxUsage.as_view(), name="mailbox_usage"),
    path(_MAILBOX, one_mailbox.OneMailbox.as_view(), name="mailbox"),
    path(f"{_MAILBOX}/suspend", one_mailbox.Suspension.as_view(), name="suspend"),
    path(f"{_MAILBOX}/resume", one_mailbox.Resumption.as_view(), name="resume"),
    path(f"{_MAILBOX}/close", one_mailbox.Closing.as_view(), name="close"),
    path(f"{_MAILBOX}/sign-in", sign_in.SignIn.as_view(), name="sign_in"),
    path(f"{_MAILBOX}/end-sessions", sign_in.SessionsEnd.as_view(), name="sessions_end"),
    path(f"{_MAILBOX}/restore", one_mailbox.Restoration.as_view(), name="restore"),
    path(f"{_MAILBOX}/change-plan", plan_changes.PlanOfMailbox.as_view(), name="change_plan"),
    path(
        f"{_MAILBOX}/switch-protocol",
        plan_changes.ProtocolOfMailbox.as_view(),
        name="switch_protocol",
    ),
    path(f"{_MAILBOX}/take-back-plan", plan_changes.TakingBack.as_view(), name="take_back_plan"),
    path(
        f"{_MAILBOX}/pending-changes",
        pending_changes.PendingChangesOfMailbox.as_view(),
        name="mailbox_changes",
    ),
    path(
        f"{_MAILBOX}/retention",
        mailbox_retention.MailboxRetention.as_view(),
        name="mailbox_retention",
    ),
    path(
        f"{_MAILBOX}/retention/message",
        message_fates.MessageFate.as_view(),
        name="message_fate",
    ),
    path(f"{_MAILBOX}/recoverable", recoverable.RemovedMail.as_view(), name="recoverable"),
    path(f"{_MAILBOX}/recoverable/restore", recoverable.Restoring.as_view(), name="restoring"),
    path(f"{_MAILBOX}/recoverable/roll-back", recoverable.RollingBack.as_view(), name="roll_back"),
    path(f"{_MAILBOX}/recoverable/empty", recoverable.Emptying.as_view(), name="emptying"),
    path(
        f"{_MAILBOX}/app-passwords",
        app_passwords.AppPasswords.as_view(),
        name="app_passwords",
    ),
    path(
        f"{_MAILBOX}/app-passwords/<pwd:password>",
        app_passwords.OneAppPassword.as_view(),
        name="app_password",
    ),
    path(f"{_MAILBOX}/devices", mail_devices.Devices.as_view(), name="mail_devices"),
    path(f"{_MAILBOX}/sign-ins", mail_devices.SignIns.as_view(), name="sign_ins"),
    path("pending-changes", pending_changes.PendingChanges.as_view(), name="pending_changes"),
    path(_CHANGE, pending_changes.OnePendingChange.as_view(), name="pending_change"),
    path(f"{_CHANGE}/call-off", pending_changes.CallingOff.as_view(), name="call_off"),
    path("restore-runs", restore_runs.RestoreRuns.as_view(), name="restore_runs"),
    path("restore-runs/<rst:run>", restore_runs.OneRestoreRun.as_view(), name="restore_run"),
    path("purge-runs", purge_runs.PurgeRuns.as_view(), name="purge_runs"),
    path(_PURGE, purge_runs.OnePurgeRun.as_view(), name="purge_run"),
    path(f"{_PURGE}/receipt", purge_runs.Receipt.as_view(), name="purge_receipt"),
    path(f"{_PURGE}/cancel", purge_runs.Cancelling.as_view(), name="purge_cancel"),
    path("retention-policies", retention_rules.RetentionRules.as_view(), name="retention_rules"),
    path(
        "retention-policies/preview",
        retention_rules.RetentionPreview.as_view(),
        name="retention_preview",
    ),
    path(
        "retention-policies/<rtp:rule>",
        retention_rules.OneRetentionRule.as_view(),
        name="retention_rule",
    ),
    # Last, so that a call that leads nowhere is counted as well.
    re_path(r"\A.*\Z", Nowhere.as_view(), name="nowhere"),
]
