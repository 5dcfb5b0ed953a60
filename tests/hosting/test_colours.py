"""Colours of a brand: what can be read, and the nearest shade that can."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosting import colours

COLOURS = st.integers(0, 0xFFFFFF).map("#{:06x}".format)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        # The examples that everybody who measures contrast knows.
        ("#000000", "#ffffff", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#767676", "#ffffff", 4.54),
        ("#ff0000", "#ffffff", 4.0),
        ("#0000ff", "#ffffff", 8.59),
        ("#24479f", "#24479f", 1.0),
    ],
)
def test_contrast_is_that_of_wcag(one, other, ratio):
    assert colours.contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert colours.contrast(other, one) == colours.contrast(one, other)


@pytest.mark.parametrize("text", ["#24479F", "24479f", " #24479f "])
def test_colour_has_one_spelling(text):
    assert colours.canonical(text) == "#24479f"


@pytest.mark.parametrize(
    "text",
    ["", "#", "blue", "#fff", "#24479", "#24479ff", "#24479g", "#24479f;}", "#24479f\n#", "٢٤٤٧٩٠"],
)
def test_what_is_no_colour_is_refused(text):
    with pytest.raises(colours.NotAColour, match="#24479f"):
        colours.canonical(text)


def test_colours_of_the_house_can_be_read():
    assert colours.fits_light("#24479f")
    assert colours.fits_dark("#a3bff7")


@pytest.mark.parametrize("accent", ["#f5c400", "#ff0000", "#00aa88", "#ffffff", "#777777"])
def test_bright_colour_is_hard_to_read_on_light_pages(accent):
    assert not colours.fits_light(accent)


@given(COLOURS)
def test_suggestion_can_be_read_and_the_shade_before_it_cannot(accent):
    for fits, nearest in (
        (colours.fits_light, colours.nearest_light),
        (colours.fits_dark, colours.nearest_dark),
    ):
        suggested = nearest(accent)

        assert fits(suggested)
        assert (suggested == accent) == fits(accent)
    assert colours.fits_dark(colours.made_dark(accent))


@given(COLOURS)
def test_text_can_be_read_on_everything_that_is_made_from_a_colour(accent):
    light, dark = colours.nearest_light(accent), colours.nearest_dark(accent)

    sheet = colours.style_sheet(accent=light, accent_dark=dark)

    values = re.findall(r"--([a-z-]+):(#[0-9a-f]{6});", sheet)
    assert [name for name, _ in values] == 2 * [
        "accent",
        "accent-deep",
        "accent-ink",
        "accent-wash",
    ]
    for part in (dict(values[:4]), dict(values[4:])):
        assert colours.contrast(part["accent"], part["accent-ink"]) >= 4.5
        assert colours.contrast(part["accent-deep"], part["accent-ink"]) >= 4.5
        assert colours.contrast(part["accent"], part["accent-wash"]) >= 4.5


def test_style_sheets_that_differ_have_names_that_differ():
    one = colours.style_sheet(accent="#24479f", accent_dark="#a3bff7")
    other = colours.style_sheet(accent="#24479f", accent_dark="#a3bff8")

    assert colours.digest(one) == colours.digest(one)
    assert colours.digest(one) != colours.digest(other)
