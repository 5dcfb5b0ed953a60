"""Pictures that strangers send for the head of their bills, made harmless.

Only what was decoded and encoded anew here is ever kept, so that nothing hides behind the
picture: no place where a photo was taken, no second file, no script.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

from django.utils.translation import gettext as _
from PIL import Image, ImageFile, ImageOps

MOST_BYTES = 200_000
# What is taken apart at all: 16 MB of memory at most, whatever the file says of itself.
MOST_PIXELS = 4_000_000
# What is kept: enough for 300 dots an inch on paper.
LARGEST = (1200, 480)
_QUALITY = 90
_MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg"}
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    MemoryError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class LogoRefused(Exception):
    """The file cannot be a logo; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """A picture as it is kept."""

    content: bytes
    media_type: str
    width: int
    height: int


def encode(content: bytes) -> Encoded:
    """Read a PNG or a JPEG and write it anew; raises `LogoRefused`."""
    if len(content) > MOST_BYTES:
        raise LogoRefused(_("The picture has more than 200 kB. Make it smaller first."))
    try:
        picture, kind = _decoded(content)
    except _BROKEN as error:
        raise LogoRefused(_("This is no PNG or JPEG picture, or it is damaged.")) from error
    size, written = LARGEST, b""
    while not written or len(written) > MOST_BYTES:
        picture.thumbnail(size)
        written = _written(picture, kind)
        size = (size[0] // 2, size[1] // 2)
    return Encoded(
        content=written,
        media_type=_MEDIA_TYPES[kind],
        width=picture.width,
        height=picture.height,
    )


def _decoded(content: bytes) -> tuple[Image.Image, str]:
    """The first picture of the file, upright, in plain colours."""
    # WeasyPrint lets Pillow take what is cut short, for the whole process. What it gets from
    # here is whole, so nothing is lost by being strict again.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    with Image.open(BytesIO(content), formats=tuple(_MEDIA_TYPES)) as opened:
        # The size stands at the beginning of the file; nothing is unpacked before this.
        if opened.width * opened.height > MOST_PIXELS:
            raise LogoRefused(_("The picture has more than four million dots."))
        kind = opened.format or "PNG"
        upright = ImageOps.exif_transpose(opened)
        return upright.convert("RGBA" if kind == "PNG" else "RGB"), kind


def _written(picture: Image.Image, kind: str) -> bytes:
    file = BytesIO()
    # What a picture says of itself goes along unless it is asked not to.
    picture.info = {}
    if kind == "PNG":
        picture.save(file, "PNG", optimize=True)
    else:
        picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
