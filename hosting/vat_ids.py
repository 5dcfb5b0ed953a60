"""What VAT ids look like, country by country.

The forms are those of the European Commission's VIES. Whether an id was really given out is
known to VIES alone; nothing here asks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from django.utils.translation import gettext as _


class WrongVatId(ValueError):
    """The id cannot be one of that country; the text shows how they look there."""


@dataclass(frozen=True)
class Form:
    """How all ids of a country look, and one that looks so."""

    pattern: str
    example: str


# By ISO 3166 code; only Greece writes another one before its ids.
FORMS: Mapping[str, Form] = {
    "AT": Form(r"ATU\d{8}", "ATU12345678"),
    "BE": Form(r"BE[01]\d{9}", "BE0123456789"),
    "BG": Form(r"BG\d{9,10}", "BG123456789"),
    "CY": Form(r"CY\d{8}[A-Z]", "CY12345678X"),
    "CZ": Form(r"CZ\d{8,10}", "CZ12345678"),
    "DE": Form(r"DE\d{9}", "DE123456789"),
    "DK": Form(r"DK\d{8}", "DK12345678"),
    "EE": Form(r"EE\d{9}", "EE123456789"),
    "ES": Form(r"ES(?:[A-Z]\d{7}[A-Z0-9]|\d{8}[A-Z])", "ESX1234567X"),
    "FI": Form(r"FI\d{8}", "FI12345678"),
    "FR": Form(r"FR[A-Z0-9]{2}\d{9}", "FR12345678901"),
    "GR": Form(r"EL\d{9}", "EL123456789"),
    "HR": Form(r"HR\d{11}", "HR12345678901"),
    "HU": Form(r"HU\d{8}", "HU12345678"),
    "IE": Form(r"IE\d[A-Z0-9+*]\d{5}[A-Z]{1,2}", "IE1234567WA"),
    "IT": Form(r"IT\d{11}", "IT12345678901"),
    "LT": Form(r"LT(?:\d{9}|\d{12})", "LT123456789"),
    "LU": Form(r"LU\d{8}", "LU12345678"),
    "LV": Form(r"LV\d{11}", "LV12345678901"),
    "MT": Form(r"MT\d{8}", "MT12345678"),
    "NL": Form(r"NL[A-Z0-9+*]{9}B\d{2}", "NL123456789B01"),
    "PL": Form(r"PL\d{10}", "PL1234567890"),
    "PT": Form(r"PT\d{9}", "PT123456789"),
    "RO": Form(r"RO\d{2,10}", "RO1234567890"),
    "SE": Form(r"SE\d{12}", "SE123456789001"),
    "SI": Form(r"SI\d{8}", "SI12345678"),
    "SK": Form(r"SK\d{10}", "SK1234567890"),
}
# Elsewhere nothing depends on it, so that it can be read is enough.
_ELSEWHERE = re.compile(r"[A-Z0-9][A-Z0-9./+*-]{1,19}", re.ASCII)


def canonical(text: str) -> str:
    """The one spelling that is kept: capitals, without spaces."""
    return "".join(text.split()).upper()


def check(vat_id: str, *, country: str) -> None:
    """Raise `WrongVatId` for one that no authority of the country gives out."""
    form = FORMS.get(country)
    if form is None:
        if not _ELSEWHERE.fullmatch(vat_id):
            raise WrongVatId(_("A VAT id has letters, digits, and few signs between them."))
        return
    if not re.fullmatch(form.pattern, vat_id, re.ASCII):
        text = _("A VAT id of this country looks like %(example)s.")
        raise WrongVatId(text % {"example": form.example})
