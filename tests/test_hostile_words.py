"""HTML and script wherever people, programs and mail put words, on every page that shows them."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import DatabaseError, models, transaction
from django.test import Client

from accounts import links
from accounts.models import Event, User
from mailstore.engine.memory import Folder
from mailstore.models import LastLogin, Mailbox
from tests.factories import AT
from tests.markup import elements, faults
from tests.newcomers import OPEN
from tests.staffing import verified
from tests.test_access import ACCESS, address

__all__ = ["address"]

pytestmark = pytest.mark.django_db(databases=["default", "reports"])

# Out of a text, out of an attribute, out of a script, and what templates would compute.
WORDS = (
    "\"'><canary oncanary=1></textarea></title></script></style><img src=x onerror=alert(1)>"
    "<svg/onload=alert(1)>javascript:alert(1) {{ 7|add:7 }} {% csrf_token %} &lt;canary&gt; \u202e"
)
# These are names by which something is found, or have a form that the database or a page needs.
LEFT_ALONE = frozenset({
    "accent", "accent_dark", "action", "address", "cause", "code", "content", "country", "currency",
    "digest", "email", "event_type", "file_name", "folder", "id", "key", "kind", "local_part",
    "media_type", "password", "pk", "position", "prefix", "proto", "protocol", "role", "slug",
    "state", "subject_id", "subject_kind", "support_email", "support_url", "token", "url",
    "username", "vat_id", "actor_kind", "actor_id", "token_hash", "public_id", "sealed", "about",
    "fingerprint", "sha256", "counted_from", "number", "level", "answer", "problem", "last_address",
})  # fmt: skip


def plant(text=WORDS):
    """Put the words into every text of every row that is free text; returns how many columns."""
    planted = 0
    for model in apps.get_models():
        if model._meta.app_label not in {"accounts", "mailstore", "hosting"}:
            continue
        for field in model._meta.concrete_fields:
            is_text = isinstance(field, (models.CharField, models.TextField))
            if not is_text or field.choices or field.unique or field.name in LEFT_ALONE:
                continue
            if not model._meta.managed or model._meta.proxy:
                continue
            try:
                with transaction.atomic():
                    cut = text[: field.max_length or len(text)]
                    planted += bool(model._base_manager.update(**{field.name: cut}))
            except DatabaseError:
                # Bills and the like are final; their words came in through a profile.
                continue
    return planted


def tell_in_words(text=WORDS):
    """Have every kind of fact there is happen once more, with the words wherever facts have some.

    Those that happened are never changed.
    """
    for fact in Event.objects.all():
        fact.pk, fact.position = None, None
        fact.actor_name, fact.subject_name = text[:254], text[:320]
        fact.data = {"reason": text, "from": text, "name": text, text: text}
        fact.link, fact.own_place, fact.own_link = "", None, ""
        fact.save(force_insert=True)


def check(response, where):
    """Whether the words stand on a page; they must not be anything but words there."""
    if response.streaming or "html" not in response.headers.get("Content-Type", ""):
        return False
    text = response.content.decode()
    found = elements(text)
    assert [tag for tag, _given in found if tag == "canary"] == [], where
    assert [given for _tag, given in found if "oncanary" in given or "onerror" in given] == [], (
        where
    )
    assert faults(text) == [], where
    assert "alert(1) 14 " not in text, where
    return "&lt;canary" in text or "&quot;&#x27;&gt;&lt;c" in text


@pytest.mark.parametrize("person", ["alice", "rita", "sam"])
def test_words_stay_words_on_every_page(person, cast, address, twin, counts):
    mailbox = Mailbox.objects.get(address="hello@alder.test")
    letter = f"Subject: {WORDS[:150]}\r\nFrom: {WORDS[:80]} <a@b.test>\r\n\r\nx"
    twin.accounts[mailbox.address].store.setdefault("INBOX", Folder()).append(
        letter.encode(), at=AT
    )
    LastLogin.objects.create(
        username=mailbox.address, proto="imap", device="-", address="<canary>", last_login=1
    )
    tell_in_words()
    paths = {name: address(name) for name in ACCESS if ACCESS[name].reads}
    planted = plant()
    user = getattr(cast, person)
    user.refresh_from_db()
    client = verified(user)

    shown = []
    for name, path in paths.items():
        response = client.get(path, follow=True)
        assert response.status_code < 500, name
        if check(response, name):
            shown.append(name)
        response.close()

    counts(columns=planted, pages=len(paths), pages_with_the_words=len(shown))
    assert planted > 20
    assert len(shown) > 40


@pytest.mark.parametrize("text", [WORDS, WORDS[::-1], "\x00", "'" * 200, "%s%n{0}\\", "\ud83d"])
def test_words_that_are_typed_come_back_as_words(text, cast, address):
    """Forms that are shown again, searches and filters."""
    text = text.encode("utf-8", "replace").decode()
    client = verified(cast.rita)
    forms = {
        "accounts:sign_in": {"username": text, "password": text},
        "accounts:sign_up": {"email": text},
        "accounts:open_account": dict.fromkeys(("name", "organisation_name", "password"), text),
        "domains:add": {"name": text},
        "mailboxes:order": {"domain": text, "local_part": text, "protocol": text, "label": text},
        "customers:open": {"name": text, "email": text},
        "customers:edit": {"name": text},
        "customers:suspend": {"reason": text},
        "customers:enter": {"reason": ""},
        "keys:make": {"label": text, "networks": text, "expires_on": text},
        "webhooks:make": {"url": text, "description": text},
        "billing:profile": {"legal_name": text, "address": text, "vat_id": text},
        "mailboxes:close": {"address": text},
        "look:try_out": {"product_name": text, "accent": text, "support_url": text},
        "look:claim_host": {"name": text},
    }
    queries = (
        "?q=",
        "?after=",
        "?sort=",
        "?state=",
        "?protocol=",
        "?cursor=",
        "?message=",
        "?next=",
    )

    newcomer = links.SignUp(email="dora@example.test", seller_id=None)
    paths = {"accounts:open_account": f"{OPEN}?token={links.to_sign_up(newcomer)}"}

    for name, form in forms.items():
        path = paths.get(name) or address(name)
        # Nobody is signed in at the doors.
        who = Client() if name.startswith("accounts:") else client
        response = who.post(path, form, follow=True)
        assert response.status_code < 500, name
        check(response, name)
    for name in (
        "dashboard:overview",
        "customers:list",
        "keys:list",
        "webhooks:list",
        "access:list",
        "mailboxes:removed",
        "billing:invoices",
        "billing:home",
        "accounts:sign_in",
    ):
        for query in queries:
            response = client.get(address(name), {query[1:-1]: text.replace("\0", "")}, follow=True)
            assert response.status_code < 500, (name, query)
            check(response, name)


def test_a_visit_names_its_reason_in_words(cast):
    rita = verified(cast.rita)
    rita.post(f"/customers/{cast.customer.uuid}/enter", {"reason": WORDS})

    page, theirs = rita.get("/overview/"), verified(cast.alice).get("/access/")

    assert check(page, "visit")
    assert check(theirs, "access")


def test_messages_are_words_too(cast, address):
    User.objects.filter(pk=cast.alice.pk).update(name=WORDS[:100])
    client = verified(User.objects.get(pk=cast.alice.pk))

    response = client.post(address("domains:add"), {"name": f"{WORDS[:30]}.test"}, follow=True)

    assert check(response, "messages")
