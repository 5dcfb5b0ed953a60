"""The site of the staff pages: its start, its search, and the state of the mail server."""

from hosting.staff_site.site import StaffSite

__all__ = ["StaffSite"]
