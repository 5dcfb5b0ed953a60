"""Staff pages for mail and for how long it stays. Mailboxes are sold in `hosting`."""

from mailstore.admin import app_passwords, domains, holds, purges, quota_warnings, restores

__all__ = ["app_passwords", "domains", "holds", "purges", "quota_warnings", "restores"]
