"""Pictures that strangers send."""

from __future__ import annotations

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from hosting import logos


def picture(kind="PNG", size=(300, 100), mode="RGB", **options):
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def noise(size):
    chance = Image.effect_noise(size, 90).convert("RGB")
    file = io.BytesIO()
    chance.save(file, "JPEG", quality=20)
    return file.getvalue()


def bomb(width, height):
    """A PNG of a few bytes that says it is large."""

    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    dots = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", dots) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "media_type"),
    [
        (picture("PNG"), "image/png"),
        (picture("PNG", mode="P"), "image/png"),
        (picture("PNG", mode="I;16"), "image/png"),
        (picture("PNG", mode="LA"), "image/png"),
        (picture("JPEG"), "image/jpeg"),
        (picture("JPEG", mode="CMYK"), "image/jpeg"),
        (picture("JPEG", mode="L"), "image/jpeg"),
    ],
)
def test_png_and_jpeg_are_encoded_anew(content, media_type):
    encoded = logos.encode(content)

    assert (encoded.media_type, encoded.width, encoded.height) == (media_type, 300, 100)
    with Image.open(io.BytesIO(encoded.content)) as again:
        assert Image.MIME[again.format] == media_type


def test_large_pictures_are_made_smaller_and_stay_below_the_limit():
    content = noise((700, 600))
    assert len(content) < logos.MOST_BYTES

    encoded = logos.encode(content)

    assert encoded.width <= 1200
    assert encoded.height <= 480
    assert len(encoded.content) <= logos.MOST_BYTES


def test_a_png_that_grows_when_it_is_written_is_made_smaller(monkeypatch):
    file = io.BytesIO()
    Image.effect_noise((400, 400), 90).save(file, "PNG")
    monkeypatch.setattr(logos, "MOST_BYTES", 170_000)
    assert len(file.getvalue()) < 170_000

    encoded = logos.encode(file.getvalue())

    assert len(encoded.content) <= 170_000


def test_what_a_picture_says_of_itself_is_left_out():
    said = PngImagePlugin.PngInfo()
    said.add_text("Comment", "the safe is behind the shelf")
    camera = Image.Exif()
    camera[0x010E] = "the safe is behind the shelf"
    camera[0x0112] = 6

    for content in (picture("PNG", pnginfo=said), picture("JPEG", exif=camera)):
        assert b"shelf" in content
        assert b"shelf" not in logos.encode(content).content
    assert logos.encode(picture("JPEG", exif=camera)).width == 100


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        b"%PDF-1.7",
        b"GIF89a" + b"\0" * 20,
        picture("GIF"),
        picture("BMP"),
        picture("TIFF"),
        picture("WEBP"),
        b"\x89PNG\r\n\x1a\n",
        picture("PNG")[:60],
        picture("JPEG")[:200],
        bomb(100, 100),
    ],
)
def test_anything_else_is_refused(content):
    with pytest.raises(logos.LogoRefused, match="no PNG or JPEG"):
        logos.encode(content)


@pytest.mark.parametrize(
    ("width", "height"), [(50_000, 50_000), (2**31 - 1, 2), (10_000, 10_000), (4001, 1000)]
)
def test_a_bomb_is_refused_by_its_head_alone(width, height):
    with pytest.raises(logos.LogoRefused, match=r"four million dots|no PNG"):
        logos.encode(bomb(width, height))


def test_a_long_file_is_refused_unread():
    with pytest.raises(logos.LogoRefused, match="200 kB"):
        logos.encode(b"\0" * 200_001)


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12),
    length=st.integers(0, 10_000),
)
def test_a_damaged_picture_is_kept_clean_or_refused(kind, changes, length):
    content = bytearray(picture(kind, size=(40, 30)))
    for place, value in changes:
        content[place % len(content)] = value

    try:
        encoded = logos.encode(bytes(content[: length or None]))
    except logos.LogoRefused:
        return

    with Image.open(io.BytesIO(encoded.content)) as again:
        again.load()
