"""Every change on the pages of staff asks again who sits there, unless it is named."""

from __future__ import annotations

import pytest

from accounts import stepping_up
from accounts.models import Visit
from hosting.models import MailboxImport
from tests.hosting.test_admin import STAFF_PATHS
from tests.staffing import stale

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

TO_PROOF = "/account/second-factor/?next="
# Passwords are tried on one page alone, and this is another.
OTHER_DOOR = "/staff/login/"
UNASKED = [path for path in STAFF_PATHS if not stepping_up.asks_staff(path)]


def test_what_asks_nobody_again_is_this_and_no_more():
    """Whoever adds a page here says why in `stepping_up.UNASKED_OF_STAFF`."""
    below = {path.split("/")[3] for path in UNASKED if path.count("/") > 3}

    assert below == {"bulkrequest", "mailboximport", "notice", "setback", "webhookdelivery"}
    assert [path for path in UNASKED if path.count("/") == 3] == ["/staff/logout/"]
    for prefix in stepping_up.UNASKED_OF_STAFF:
        assert [path for path in UNASKED if path.startswith(prefix)], prefix


def test_every_change_of_staff_asks_again_after_a_while(staff, counts):
    stale(staff)
    asked = sorted({*STAFF_PATHS} - {*UNASKED, OTHER_DOOR})
    counts(pages=len(asked))

    for path in asked:
        answer = staff.post(path, {"name": "kept"})

        assert answer.status_code == 302, path
        where = f"{TO_PROOF}%2Faccount%2Fsecond-factor%2Fgo"
        assert answer.headers["Location"].startswith(where), path


@pytest.mark.parametrize("path", ["/staff/", "/staff/hosting/plan/", "/staff/mailstore/mailbox/"])
def test_looking_asks_for_nothing(path, staff):
    assert stale(staff).get(path).status_code == 200


def test_nobody_comes_into_a_customer_with_an_old_proof(staff, cast):
    path = f"/staff/accounts/visit/add/?organisation={cast.customer.pk}"

    answer = stale(staff).post(path, {"reason": "They asked"})

    assert answer.headers["Location"].startswith(TO_PROOF)
    assert not Visit.objects.exists()


def test_whoever_began_a_list_of_mailboxes_leaves_it_unasked(staff, cast):
    made = MailboxImport.objects.create(file_name="x.csv", content="", created_by=cast.sam)

    answer = stale(staff).post(f"/staff/hosting/mailboximport/{made.pk}/cancel/")

    assert not answer.headers["Location"].startswith("/account/")
