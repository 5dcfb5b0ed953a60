"""What VAT ids look like."""

from __future__ import annotations

import pytest

from hosting import countries, vat_ids


@pytest.mark.parametrize("country", vat_ids.FORMS)
def test_the_example_of_each_country_is_one_of_it_and_of_no_other(country):
    example = vat_ids.FORMS[country].example

    vat_ids.check(example, country=country)

    for other in vat_ids.FORMS.keys() - {country}:
        with pytest.raises(vat_ids.WrongVatId, match="looks like"):
            vat_ids.check(example, country=other)


def test_all_twenty_seven_members_are_known():
    assert len(vat_ids.FORMS) == 27
    assert set(vat_ids.FORMS) <= set(countries.NAMES)


@pytest.mark.parametrize(
    ("country", "vat_id"),
    [
        ("AT", "ATU1234567"),
        ("AT", "ATU12345678\n"),
        ("AT", "U12345678"),
        ("AT", "ATU１２３４５６７８"),
        ("DE", "DE12345678"),
        ("GR", "GR123456789"),
        ("NL", "NL123456789X01"),
        ("CH", "<b>CHE</b>"),
        ("CH", "C" * 21),
        ("JP", "é1234"),
    ],
)
def test_what_no_authority_gives_out_is_refused(country, vat_id):
    with pytest.raises(vat_ids.WrongVatId):
        vat_ids.check(vat_id, country=country)


@pytest.mark.parametrize(("country", "vat_id"), [("CH", "CHE-123.456.789"), ("NO", "999999999MVA")])
def test_elsewhere_any_plain_id_is_taken(country, vat_id):
    vat_ids.check(vat_id, country=country)


def test_ids_are_kept_in_one_spelling():
    assert vat_ids.canonical(" atu 123 45678 ") == "ATU12345678"
