"""Brands: whose holds for whom, what is refused, and what letters and papers say."""

from __future__ import annotations

import io
from datetime import timedelta
from email import message_from_bytes, policy

import pytest
from pypdf import PdfReader

from accounts import mailer, notices
from accounts.access import ActorKind, Forbidden
from accounts.models import Event, Membership, Notice, Organisation
from hosting import branding, colours, invoicing, logos, papers
from hosting.models import Brand, Invoice, Logo
from mailstore import quotas
from mailstore.models import QuotaWarning
from tests.factories import AT, make_mailbox, make_member
from tests.hosting.billing_rows import ACTOR, CLOSED_AT, OCTOBER, make_logo, make_profile, sold
from tests.hosting.brand_rows import HOST, SUPPORT, make_brand, make_host

pytestmark = pytest.mark.django_db(databases="__all__")

SECRET = "Provider Secret Name"


@pytest.fixture(autouse=True)
def _house(settings):
    settings.HOUSE_NAME = SECRET
    settings.PANEL_URL = "https://panel.house.test"
    settings.DEFAULT_FROM_EMAIL = f"{SECRET} <letters@mail.test>"


def brand_of(cast, **fields):
    brand = branding.of(cast.reseller)
    for name, value in ({"product_name": "Rowan Post", "accent": "#7a1f4b"} | fields).items():
        setattr(brand, name, value)
    return brand


def keep(cast, at=AT, **fields):
    return branding.keep(actor=cast.actor(cast.rita), brand=brand_of(cast, **fields), at=at)


# Whose holds ----------------------------------------------------------------------------


def test_brand_holds_for_the_reseller_and_all_below_it(cast):
    make_brand(cast.reseller)

    names = {
        person: branding.of_person(getattr(cast, person)).name
        for person in ("alice", "bob", "rita", "charlie", "sam")
    }

    assert names == {
        "alice": "Rowan Post",
        "bob": "Rowan Post",
        "rita": "Rowan Post",
        "charlie": SECRET,
        "sam": SECRET,
    }


def test_letters_are_in_the_name_of_the_reseller_above(cast):
    make_brand(cast.reseller)

    names = [
        branding.of_organisation(each and each.pk).name
        for each in (cast.customer, cast.reseller, cast.other_customer, cast.provider, None)
    ]

    assert names == ["Rowan Post", "Rowan Post", SECRET, SECRET, SECRET]


def test_reseller_without_a_brand_shows_the_house(cast):
    make_host(cast.reseller)

    look = branding.of_seller(cast.reseller.pk)

    assert (look.name, look.panel_url, look.is_house) == (SECRET, f"https://{HOST}", True)


def test_member_below_two_resellers_sees_the_older_brand(cast):
    other = Organisation.objects.create(kind="reseller", name="Sorrel", parent=cast.provider)
    make_brand(other, product_name="Sorrel Mail")
    make_brand(cast.reseller)
    Membership.objects.create(user=cast.alice, organisation=other, role="read_only")

    assert branding.of_person(cast.alice).name == "Sorrel Mail"


def test_look_is_found_without_its_picture(cast, django_assert_num_queries):
    make_brand(cast.reseller, logo=make_logo(cast.reseller))

    with django_assert_num_queries(1) as queries:
        look = branding.of_person(cast.alice)

    assert "picture" not in queries[0]["sql"]
    assert look.logo_is_written


def test_square_logo_stands_beside_the_name(cast):
    make_brand(cast.reseller, logo=make_logo(cast.reseller, size=(64, 64)))

    assert not branding.of_person(cast.alice).logo_is_written


# Keeping --------------------------------------------------------------------------------


def test_owner_keeps_a_brand(cast):
    keep(cast, accent=" #7A1F4B ", product_name="  Rowan   Post ", support_email=SUPPORT)

    brand = Brand.objects.get()
    assert (brand.product_name, brand.accent, brand.changed_at) == ("Rowan Post", "#7a1f4b", AT)
    assert colours.fits_dark(brand.shown_dark)
    changed = Event.objects.get(kind="brand.changed")
    assert changed.actor_kind == ActorKind.USER
    assert changed.organisation == cast.reseller
    assert "product_name" in changed.data["changed"]


def test_same_again_is_no_change(cast):
    keep(cast)
    keep(cast, at=CLOSED_AT)

    assert Brand.objects.get().changed_at == AT
    assert Event.objects.filter(kind="brand.changed").count() == 1


def test_two_who_keep_at_once_end_with_one_row(cast):
    first, second = brand_of(cast), brand_of(cast, product_name="Rowan Mail")
    for brand in (first, second):
        branding.keep(actor=cast.actor(cast.rita), brand=brand, at=AT)

    assert Brand.objects.get().product_name == "Rowan Mail"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"product_name": ""}, "product_name"),
        ({"product_name": " \t "}, "product_name"),
        ({"product_name": "x" * 61}, "product_name"),
        ({"product_name": "Rowan <script>"}, "product_name"),
        ({"product_name": "bank@rowan.test"}, "product_name"),
        ({"product_name": 'Rowan" <x'}, "product_name"),
        ({"product_name": "Row\x00an"}, "product_name"),
        ({"product_name": "Row\u202ean"}, "product_name"),
        ({"product_name": "Row\u2066an"}, "product_name"),
        ({"accent": ""}, "accent"),
        ({"accent": "blue"}, "accent"),
        ({"accent": "#fff"}, "accent"),
        ({"accent": "#7a1f4b;}body{display:none"}, "accent"),
        ({"accent": "url(//x)"}, "accent"),
        ({"accent": "#f5c400"}, "accent"),
        ({"accent_dark": "nice"}, "accent_dark"),
        ({"accent_dark": "#24479f"}, "accent_dark"),
        ({"support_email": "nobody"}, "support_email"),
        ({"support_email": "a@b.test\nBcc: x@y.test"}, "support_email"),
        ({"support_url": "http://rowan.test"}, "support_url"),
        ({"support_url": "javascript:alert(1)"}, "support_url"),
        ({"support_url": "//rowan.test"}, "support_url"),
        ({"support_url": "https://house.test@rowan.test/"}, "support_url"),
        ({"support_url": "https://rowan.test/ x"}, "support_url"),
        ({"support_url": "https://rowan.test/" + "x" * 200}, "support_url"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_kept(cast, fields, field):
    with pytest.raises(branding.BrandRefused) as refused:
        keep(cast, **fields)

    assert refused.value.field == field
    assert not Brand.objects.exists()


@pytest.mark.parametrize("fields", [{"accent": "#f5c400"}, {"accent_dark": "#24479f"}])
def test_colour_that_cannot_be_read_comes_with_one_that_can(cast, fields):
    with pytest.raises(branding.BrandRefused) as refused:
        keep(cast, **fields)

    [(name, _given)] = fields.items()
    suggested = str(refused.value).rstrip(".").rpartition(" ")[2]
    keep(cast, **{name: suggested})
    assert getattr(Brand.objects.get(), name) == suggested


@pytest.mark.parametrize("person", ["alice", "bob", "charlie"])
def test_only_owners_keep_and_put_back(cast, person):
    actor = cast.actor(getattr(cast, person))

    with pytest.raises(Forbidden):
        branding.keep(actor=actor, brand=brand_of(cast), at=AT)
    with pytest.raises(Forbidden):
        branding.put_back(actor=actor, organisation=cast.reseller, at=AT)
    with pytest.raises(Forbidden):
        branding.add_logo(actor=actor, organisation=cast.reseller, content=b"", at=AT)


@pytest.mark.parametrize("role", ["admin", "billing", "read_only"])
def test_other_roles_of_the_reseller_do_not_keep_it(cast, role):
    member = make_member("mo@example.test", cast.reseller, Membership.Role(role))

    assert not branding.editable_by(cast.actor(member)).exists()
    with pytest.raises(Forbidden):
        branding.keep(actor=cast.actor(member), brand=brand_of(cast), at=AT)


def test_customers_and_the_house_have_none(cast):
    for organisation in (cast.customer, cast.provider):
        brand = Brand(organisation=organisation, product_name="x", accent="#7a1f4b")
        with pytest.raises(branding.BrandRefused, match="reseller"):
            branding.keep(actor=ACTOR, brand=brand, at=AT)


def test_look_of_the_house_comes_back(cast):
    keep(cast)
    for _ in range(2):
        branding.put_back(actor=cast.actor(cast.rita), organisation=cast.reseller, at=AT)

    assert branding.of_person(cast.alice).name == SECRET
    assert Event.objects.filter(kind="brand.removed").count() == 1


def test_logo_that_nothing_shows_is_forgotten_after_a_day(cast):
    shown, billed, tried, old = (make_logo(cast.reseller, colour) for colour in ("red",) * 4)
    make_profile(cast.reseller, logo=billed)
    now = CLOSED_AT + timedelta(days=2)
    Logo.objects.filter(pk=tried.pk).update(created_at=now)

    keep(cast, at=now, logo=shown)

    assert set(Logo.objects.values_list("pk", flat=True)) == {shown.pk, billed.pk, tried.pk}
    assert not Logo.objects.filter(pk=old.pk).exists()


def test_picture_is_made_harmless(cast):
    rita = cast.actor(cast.rita)

    with pytest.raises(logos.LogoRefused):
        branding.add_logo(actor=rita, organisation=cast.reseller, content=b"<svg/>", at=AT)

    assert not Logo.objects.exists()


# Letters --------------------------------------------------------------------------------


def announced(organisation, name="spend_cap"):
    context = {"organisation": organisation.name, "percent": 80, "month": "October"}
    notices.announce(organisations=[organisation], name=name, context=context, at=AT)
    notices.send_waiting(at=AT)


def whole(message):
    return message.message().as_string()


def test_customer_of_a_reseller_is_written_to_in_its_name(cast, mailoutbox):
    make_brand(cast.reseller)
    make_host(cast.reseller)

    announced(cast.customer)

    [message] = mailoutbox
    html = message.alternatives[0].content
    assert message.from_email == "Rowan Post <letters@mail.test>"
    assert message.reply_to == [SUPPORT]
    assert SECRET not in whole(message)
    assert "house.test" not in whole(message)
    assert "#7a1f4b" in html
    assert "Rowan Post · https://rowan.test/help · help@rowan.test" in message.body
    assert 'href="https://rowan.test/help"' in html


def test_customer_of_the_house_is_written_to_in_its_name(cast, mailoutbox):
    make_brand(cast.reseller)

    announced(cast.other_customer)

    [message] = mailoutbox
    assert message.from_email == f"{SECRET} <letters@mail.test>"
    assert message.reply_to == []
    assert "Rowan" not in whole(message)


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("pending_change", {"sentence": "A change.", "effective_text": "soon", "asked_by": "Bob"}),
        ("pending_change_below", {"sentence": "A change.", "effective_text": "soon"}),
        ("tripwire", {"alarm": "x", "messages": 5}),
        ("dunning", {"move": "announce", "organisation": "Alder", "writer": "Rowan", "bills": []}),
        ("dunning_below", {"organisation": "Alder", "reseller": "Rowan", "now_text": "Nothing."}),
        ("panel_host", {"host": HOST, "is_verified": False, "url": f"https://{HOST}"}),
        ("panel_host", {"host": HOST, "is_verified": True, "url": f"https://{HOST}"}),
        ("quota_warning", {"mailbox_address": "a@alder.test", "percent": 90}),
        ("test_message", {"mailbox_address": "a@alder.test", "protocol": "pop"}),
        ("spend_cap", {"organisation": "Alder", "percent": 80}),
    ],
)
def test_no_letter_names_the_house_or_leads_to_it(cast, mailoutbox, name, context):
    make_brand(cast.reseller)
    make_host(cast.reseller)

    mailer.send(
        name=name,
        to="alice@example.test",
        context=context,
        letterhead=mailer.letterhead(cast.customer.pk),
    )

    [message] = mailoutbox
    assert SECRET not in whole(message)
    assert "house.test" not in whole(message)
    assert "Rowan Post" in whole(message)


def test_link_leads_to_the_house_until_the_host_is_proved(cast):
    make_brand(cast.reseller)
    make_host(cast.reseller, state="waiting", verified_at=None)

    assert mailer.letterhead(cast.customer.pk).context["panel_url"] == "https://panel.house.test"


def test_letter_is_the_first_organisations_that_a_person_owns(cast):
    Membership.objects.create(user=cast.alice, organisation=cast.other_customer, role="owner")

    notices.announce(
        organisations=[cast.customer, cast.other_customer], name="spend_cap", context={}, at=AT
    )

    told = {notice.to: notice.organisation.name for notice in Notice.objects.all()}
    assert told == {"alice@example.test": "Alder", "charlie@example.test": "Juniper"}


def test_name_with_marks_is_written_as_mail_writes_it(cast, mailoutbox):
    make_brand(cast.reseller, product_name="Röwan, Post; Ltd.")

    announced(cast.customer)

    sender = mailoutbox[0].message()["From"]
    assert (
        message_from_bytes(f"From: {sender}\n\n".encode("ascii"), policy=policy.default)["From"]
        .addresses[0]
        .display_name
        == "Röwan, Post; Ltd."
    )


def test_warning_in_the_mailbox_is_in_the_resellers_name(cast, twin):
    make_brand(cast.reseller)
    mailbox = make_mailbox(cast.domain)
    twin.know(mailbox.address)
    warning = QuotaWarning.objects.create(
        mailbox=mailbox, percent=90, used_bytes=9, quota_bytes=10, at=AT
    )

    quotas._store(warning, engine=twin, at=AT)

    [message] = twin.accounts[mailbox.address].folders["INBOX"].kept
    parsed = message_from_bytes(message.raw, policy=policy.default)
    assert parsed["From"] == "Rowan Post <letters@mail.test>"
    assert parsed["Reply-To"] == SUPPORT


# Papers ---------------------------------------------------------------------------------


def test_paper_of_a_customer_leads_to_the_resellers_host(cast):
    make_brand(cast.reseller)
    make_host(cast.reseller)
    for organisation in (cast.provider, cast.reseller, cast.customer):
        make_profile(organisation)
    sold(cast.domain, "billed", "pop")
    invoicing.close_month(actor=ACTOR, period=OCTOBER, at=CLOSED_AT)
    bill = Invoice.objects.get(customer=cast.customer)

    pdf = PdfReader(io.BytesIO(papers.pdf(bill, papers.paper(bill))))

    text = "".join(page.extract_text() for page in pdf.pages)
    assert HOST in text.replace("\n", "")
    assert "house.test" not in text
    assert SECRET not in text
