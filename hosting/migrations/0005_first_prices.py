"""The prices that stood on the plans become the lists that the house begins with."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, ClassVar

from django.db import migrations

FIRST_DAY = date(2026, 1, 1)
# Resellers begin at two thirds of what customers pay.
WHOLESALE = Decimal(2) / Decimal(3)
CENT = Decimal("0.01")

# The standard rates of value added tax, in percent, as of January 2026. Greece is EL in VAT
# ids and GR elsewhere; addresses say GR.
EU_RATES = {
    "AT": "20", "BE": "21", "BG": "20", "CY": "19", "CZ": "21", "DE": "19", "DK": "25",
    "EE": "24", "ES": "21", "FI": "25.5", "FR": "20", "GR": "24", "HR": "25", "HU": "27",
    "IE": "23", "IT": "22", "LT": "21", "LU": "17", "LV": "21", "MT": "18", "NL": "21",
    "PL": "23", "PT": "23", "RO": "21", "SE": "25", "SI": "22", "SK": "23",
}  # fmt: skip
OTHER_RATES = {"CH": "8.1", "GB": "20", "IS": "24", "LI": "8.1", "NO": "25"}


def add_first_prices(apps: Any, schema_editor: Any) -> None:
    """One list for customers, one for resellers, with what each plan cost."""
    plans = list(apps.get_model("hosting", "Plan").objects.order_by("position"))
    currency = plans[0].currency if plans else "EUR"
    list_model = apps.get_model("hosting", "PriceList")
    price_model = apps.get_model("hosting", "Price")
    for audience, name, share in (
        ("retail", "Retail", Decimal(1)),
        ("wholesale", "Wholesale", WHOLESALE),
    ):
        price_list = list_model.objects.create(
            name=name, audience=audience, currency=currency, is_default=True
        )
        price_model.objects.bulk_create(
            price_model(
                price_list=price_list,
                plan=plan,
                starts_on=FIRST_DAY,
                monthly_price=(plan.monthly_price * share).quantize(CENT, rounding=ROUND_HALF_UP),
                included_bytes=plan.included_bytes,
                storage_price=(plan.storage_price * share).quantize(CENT, rounding=ROUND_HALF_UP),
            )
            for plan in plans
            if plan.monthly_price > 0
        )


def add_vat_rates(apps: Any, schema_editor: Any) -> None:
    """The rates that staff begin with."""
    apps.get_model("hosting", "VatRate").objects.bulk_create(
        vat_rates(apps.get_model("hosting", "VatRate"))
    )


def vat_rates(model: Any) -> list[Any]:
    """The rows of the table."""
    return [
        model(
            country=country,
            percent=Decimal(percent),
            is_in_eu=rates is EU_RATES,
            starts_on=FIRST_DAY,
        )
        for rates in (EU_RATES, OTHER_RATES)
        for country, percent in rates.items()
    ]


def add_counter(apps: Any, schema_editor: Any) -> None:
    """The numbers of the house's own bills."""
    apps.get_model("hosting", "InvoiceCounter").objects.create(seller=None, prefix="R-")


class Migration(migrations.Migration):
    """Data only."""

    dependencies: ClassVar = [("hosting", "0004_prices_and_invoices")]

    operations: ClassVar = [
        migrations.RunPython(add_first_prices, migrations.RunPython.noop),
        migrations.RunPython(add_vat_rates, migrations.RunPython.noop),
        migrations.RunPython(add_counter, migrations.RunPython.noop),
    ]
