"""Messages that somebody hostile, or something broken, might publish: one table of them.

Each kind says what must become of it. Tests, load generators and
docs/reference.md read this table. The same item id and bucket give the
same message.
"""

import base64
import dataclasses
import enum
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from loadtest.traffic import hostile_files as files
from models.failures import Reason
from testudo.messages import message_attributes

TENANT = "hostile"
FOREIGN_BUCKET = "somebody-elses-bucket"
SCORED = "scored"
MAX_MESSAGE_BYTES = 10_000_000  # the pipeline's default, and Pub/Sub's own limit
HUGE_OBJECT_BYTES = 500_000_000


class Trouble(enum.StrEnum):
    """What a storage server must do with a kind's object, beside serving what was uploaded."""

    FORBIDDEN = "forbidden"  # answer 403
    SILENT = "silent"  # take the request and never answer
    HUGE = "huge"  # have an object of HUGE_OBJECT_BYTES
    UNPACKED = "unpacked"  # serve the upload as stored in gzip, which clients unpack


class HostileMessage(NamedTuple):
    """One message to publish; `uploads` maps names in the image bucket to content."""

    data: bytes
    attributes: Mapping[str, str]
    uploads: Mapping[str, bytes]


class Place(NamedTuple):
    """Where a message is made for: its id, the image bucket and its object's name."""

    item_id: str
    bucket: str
    object_name: str


class Content(NamedTuple):
    """A message's data and what it refers to; without `attributes` it gets the usual ones."""

    data: bytes
    uploads: Mapping[str, bytes] = {}
    attributes: Mapping[str, str] | None = None


@dataclasses.dataclass(frozen=True)
class HostileKind:
    """One row of the table."""

    name: str
    what: str
    reason: Reason | None  # None: it is scored
    make: Callable[[Place], Content]
    publishable: bool = True  # whether Pub/Sub takes it
    trouble: Trouble | None = None  # what it needs a server to do

    @property
    def outcome(self) -> str:
        """A reason's name, or `scored`."""
        return self.reason.value if self.reason else SCORED

    def object_name(self, item_id: str) -> str:
        """The name in the image bucket that the kind's URI, if it is such a one, refers to."""
        return f"hostile/{item_id}.jpg"

    def message(self, *, item_id: str, bucket: str) -> HostileMessage:
        """Make the message; `item_id` is what its outcome is found by."""
        made = self.make(Place(item_id, bucket, self.object_name(item_id)))
        attributes = made.attributes
        if attributes is None:
            attributes = message_attributes(TENANT, item_id, made.data)
        return HostileMessage(made.data, attributes, made.uploads)


def _fields(place: Place, **changes: Any) -> dict[str, Any]:
    """A valid item; a change to None leaves the field out."""
    whole = {"item_id": place.item_id, "tenant_id": TENANT, "text": "a red mug", **changes}
    return {name: value for name, value in whole.items() if value is not None}


def _json(fields: Mapping[str, Any]) -> bytes:
    return json.dumps(fields).encode()


def _item(**changes: Any) -> Callable[[Place], Content]:
    """A valid item with changes."""
    return lambda place: Content(_json(_fields(place, **changes)))


def _bytes(make: Callable[[bytes], bytes]) -> Callable[[Place], Content]:
    """Bytes made of a valid item's JSON."""
    return lambda place: Content(make(_json(_fields(place))))


def _constant(data: bytes) -> Callable[[Place], Content]:
    return lambda _: Content(data)


def _literal(field: str) -> Callable[[Place], Content]:
    """A valid item's JSON with one more field, as it stands."""
    return _bytes(lambda data: data[:-1] + b", " + field.encode() + b"}")


def _image(make: Callable[[], bytes]) -> Callable[[Place], Content]:
    """An item with this file inline."""
    return lambda place: Content(_json(_fields(place, image=base64.b64encode(make()).decode())))


def _base64(change: Callable[[str], str]) -> Callable[[Place], Content]:
    """An item with a good image, the base64 of which is changed."""
    text = partial(files.saved, "PNG")
    return lambda place: Content(
        _json(_fields(place, image=change(base64.b64encode(text()).decode())))
    )


def _uri(form: str) -> Callable[[Place], Content]:
    """An item with an image URI; `{bucket}` and `{name}` stand for the bucket and an object."""
    return lambda place: Content(
        _json(_fields(place, image_uri=form.format(bucket=place.bucket, name=place.object_name)))
    )


def _object(make: Callable[[], bytes]) -> Callable[[Place], Content]:
    """An item with this file as an object of the image bucket."""
    return lambda place: Content(
        _json(_fields(place, image_uri=f"gs://{place.bucket}/{place.object_name}")),
        {place.object_name: make()},
    )


def _hostile_attributes(place: Place) -> Content:
    data = _json(_fields(place))
    usual = message_attributes(TENANT, place.item_id, data)
    hostile = {"tenant_id": "../../etc", "testudo_attempt": "9" * 400, "trace": "\x1b[2J\r\n" * 100}
    return Content(data, attributes={**usual, **hostile})


def _twice(data: bytes) -> bytes:
    return b'{"item_id": "another", "text": 5, ' + data[1:]


def _nested(levels: int) -> Callable[[Place], Content]:
    return _literal(f'"text": {"[" * levels}{"]" * levels}')


_WORST_MARKS = "a" + "\u0301" * 49_999 + "\u0323" * 50_000
_ZALGO = "".join(letter + "\u0300\u0316\u0489" * 40 for letter in "he comes")
_MESSAGES = (
    HostileKind("not_json", "plain words", Reason.NOT_JSON, _constant(b"give me a mug")),
    HostileKind("cut_json", "JSON cut off", Reason.NOT_JSON, _bytes(lambda data: data[:-9])),
    HostileKind(
        "two_documents", "two JSON documents in a row", Reason.NOT_JSON, _bytes(lambda one: one * 2)
    ),
    HostileKind(
        "utf16", "JSON in UTF-16", Reason.NOT_JSON,
        _bytes(lambda data: data.decode().encode("utf-16")),
    ),
    HostileKind(
        "latin1", "JSON in Latin-1, with an accent", Reason.NOT_JSON,
        _bytes(lambda data: data.replace(b"red", "ros\u00e9".encode("latin-1"))),
    ),
    HostileKind(
        "byte_order_mark", "JSON behind a byte order mark", Reason.NOT_JSON,
        _bytes(lambda data: b"\xef\xbb\xbf" + data),
    ),
    HostileKind("json_array", "an array", Reason.SCHEMA_VIOLATION, _bytes(lambda d: b"[%b]" % d)),
    HostileKind("json_number", "a number", Reason.SCHEMA_VIOLATION, _constant(b"7")),
    HostileKind("json_null", "null", Reason.SCHEMA_VIOLATION, _constant(b"null")),
    HostileKind("json_string", "a string", Reason.SCHEMA_VIOLATION, _constant(b'"an item"')),
    HostileKind("nested", "300 arrays in one another", Reason.SCHEMA_VIOLATION, _nested(300)),
    HostileKind(
        "nested_deep", "100,000 arrays in one another", Reason.NOT_JSON, _nested(100_000)
    ),
    HostileKind("duplicate_keys", "fields given twice: the last ones count", None, _bytes(_twice)),
    HostileKind("nan", "NaN for a number", Reason.NOT_JSON, _literal('"text": NaN')),
    HostileKind("infinity", "Infinity for a number", Reason.NOT_JSON, _literal('"text": Infinity')),
    HostileKind(
        "number_too_large", "a number beyond any double", Reason.NOT_JSON, _literal('"text": 1e999')
    ),
    HostileKind(
        "wrong_types", "an id that is an array, a text that is an object", Reason.SCHEMA_VIOLATION,
        _item(item_id=["a"], text={"a": 1}),
    ),
    HostileKind("no_item_id", "no item_id", Reason.SCHEMA_VIOLATION, _item(item_id=None)),
    HostileKind("no_tenant_id", "no tenant_id", Reason.SCHEMA_VIOLATION, _item(tenant_id=None)),
    HostileKind("no_side", "neither text nor image", Reason.SCHEMA_VIOLATION, _item(text=None)),
    HostileKind(
        "two_images", "image and image_uri", Reason.SCHEMA_VIOLATION,
        _item(image="eA==", image_uri="gs://some-bucket/a.jpg"),
    ),
    HostileKind(
        "unknown_field", "a field that no message has", Reason.SCHEMA_VIOLATION, _item(admin=True)
    ),
    HostileKind(
        "unknown_prototype", "a field named `__proto__`", Reason.SCHEMA_VIOLATION,
        _item(__proto__={"admin": True}),
    ),
    HostileKind(
        "id_characters", "an id with a space and an accent", Reason.SCHEMA_VIOLATION,
        _item(item_id="an item\u00e9"),
    ),
    HostileKind(
        "id_long", "an id of 5,000 characters", Reason.SCHEMA_VIOLATION, _item(item_id="x" * 5_000)
    ),
    HostileKind("id_empty", "an empty id", Reason.SCHEMA_VIOLATION, _item(item_id="")),
    HostileKind(
        "id_path", "an id that is a path", Reason.SCHEMA_VIOLATION,
        _item(item_id="../../etc/passwd"),
    ),
    HostileKind(
        "id_sql", "an id that is SQL", Reason.SCHEMA_VIOLATION,
        _item(tenant_id="a'; DROP TABLE predictions; --"),
    ),
    HostileKind(
        "id_newline", "an id with a line break, to forge a line of a log", Reason.SCHEMA_VIOLATION,
        _item(item_id="a\nINFO all is well"),
    ),
    HostileKind(
        "id_escape", "an id with terminal escapes", Reason.SCHEMA_VIOLATION,
        _item(item_id="\x1b[2J\x1b]0;owned\x07"),
    ),
    HostileKind(
        "id_template", "an id that asks a logger for a look-up", Reason.SCHEMA_VIOLATION,
        _item(item_id="${jndi:ldap://127.0.0.1/a}"),
    ),
    HostileKind(
        "hostile_attributes", "a good item; a path, escapes and nonsense in its attributes", None,
        _hostile_attributes,
    ),
    HostileKind(
        "message_too_large", "a byte more than Pub/Sub takes", Reason.MESSAGE_TOO_LARGE,
        _bytes(lambda data: data.ljust(MAX_MESSAGE_BYTES + 1)), publishable=False,
    ),
    HostileKind("empty_data", "attributes and no data", Reason.NOT_JSON, _constant(b"")),
    HostileKind(
        "empty_message", "neither data nor attributes", Reason.NOT_JSON,
        lambda _: Content(b"", attributes={}), publishable=False,
    ),
    HostileKind(
        "time_nonsense", "an event_time in words", Reason.SCHEMA_VIOLATION,
        _item(event_time="yesterday"),
    ),
    HostileKind(
        "time_number", "an event_time in seconds", Reason.SCHEMA_VIOLATION,
        _item(event_time=1_770_000_000),
    ),
    HostileKind(
        "time_leap_second", "an event_time in a leap second", Reason.SCHEMA_VIOLATION,
        _item(event_time="2016-12-31T23:59:60Z"),
    ),
    HostileKind(
        "time_year_0", "an event_time in the year 0", Reason.SCHEMA_VIOLATION,
        _item(event_time="0000-01-01T00:00:00Z"),
    ),
    HostileKind(
        "time_before_year_1", "an event_time that its offset moves out of the year 1",
        Reason.SCHEMA_VIOLATION, _item(event_time="0001-01-01T00:00:00+01:00"),
    ),
    HostileKind(
        "time_year_1", "the first event_time that a table can hold", None,
        _item(event_time="0001-01-01T00:00:00Z"),
    ),
    HostileKind(
        "time_year_9999", "the last event_time that a table can hold", None,
        _item(event_time="9999-12-31T23:59:59.999999Z"),
    ),
)  # fmt: skip
_TEXTS = (
    HostileKind(
        "text_megabyte", "a text of 1 MB", Reason.SCHEMA_VIOLATION, _item(text="mug " * 250_000)
    ),
    HostileKind("text_longest", "the longest text allowed", None, _item(text="mug " * 25_000)),
    HostileKind(
        "text_expanding", "100,000 characters, each of which normalises to 18", None,
        _item(text="\ufdfa" * 100_000),
    ),
    HostileKind(
        "text_surrogate", "a lone surrogate", Reason.NOT_JSON, _item(text="a \ud800 mug")
    ),
    HostileKind("text_nul", "NULs in a text", None, _item(text="a\0red\0mug")),
    HostileKind(
        "text_noncharacters", "characters that are none, and private ones", None,
        _item(text="\uffff\ufdd0\ue000\U0010ffff"),
    ),
    HostileKind(
        "text_right_to_left", "Arabic, Hebrew and direction overrides", None,
        _item(text="\u0643\u0648\u0628 \u05e1\u05e4\u05dc \u202egum der a\u202c"),
    ),
    HostileKind(
        "text_emoji", "a family of joined emoji, and flags", None,
        _item(text="\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1ea\U0001f1fa \u2615\ufe0f"),
    ),
    HostileKind(
        "text_zero_width", "nothing but zero-width characters", None,
        _item(text="\u200b\u200c\u200d\u2060"),
    ),
    HostileKind("text_zalgo", "letters under piles of marks", None, _item(text=_ZALGO)),
    HostileKind(
        "text_marks", "99,999 marks on one letter, in the order worst to sort", None,
        _item(text=_WORST_MARKS),
    ),
    HostileKind(
        "text_escapes", "terminal escapes, line breaks, SQL and HTML", None,
        _item(text="\x1b[2J\r\n'; DROP TABLE items; -- <script>alert(1)</script>"),
    ),
    HostileKind("text_empty", "an empty text, no image", Reason.SCHEMA_VIOLATION, _item(text="")),
    HostileKind(
        "text_blank", "white space, no image", Reason.SCHEMA_VIOLATION,
        _item(text=" \t\n\u00a0\u2003\u3000"),
    ),
    HostileKind(
        "text_separators", "separators that only some call white space, no image",
        Reason.SCHEMA_VIOLATION, _item(text="\x1c\x1f\x85"),
    ),
)  # fmt: skip
_BASE64 = (
    HostileKind("image_empty", "an empty image", Reason.SCHEMA_VIOLATION, _item(image="")),
    HostileKind(
        "base64_unpadded", "base64 without its padding", Reason.IMAGE_NOT_BASE64,
        _base64(lambda text: text[:-1]),
    ),
    HostileKind(
        "base64_lines", "base64 with line breaks", Reason.IMAGE_NOT_BASE64,
        _base64(lambda text: "\r\n".join((text[:76], text[76:]))),
    ),
    HostileKind(
        "base64_accents", "base64 with characters beyond ASCII", Reason.IMAGE_NOT_BASE64,
        _base64(lambda text: "\u00e4\u00f6" + text[2:]),
    ),
    HostileKind(
        "base64_of_urls", "base64 in the alphabet of URLs", Reason.IMAGE_NOT_BASE64,
        _base64(lambda text: "-_-_" + text[4:]),
    ),
    HostileKind(
        "base64_data_uri", "a data: URI", Reason.IMAGE_NOT_BASE64,
        _base64(lambda text: "data:image/png;base64," + text),
    ),
)  # fmt: skip
_BROKEN_IMAGES = (
    *(
        HostileKind(
            f"{name.lower()}_cut", f"a {name} cut off", Reason.IMAGE_UNREADABLE,
            _image(partial(files.cut, name)),
        )
        for name in ("JPEG", "PNG", "WEBP", "GIF")
    ),
    HostileKind(
        "jpeg_start", "three bytes: how a JPEG starts", Reason.IMAGE_UNREADABLE,
        _image(lambda: b"\xff\xd8\xff"),
    ),
    HostileKind(
        "jpeg_closed_early", "a JPEG cut off, with an end put behind: JPEG has no checksum", None,
        _image(files.jpeg_closed_early),
    ),
    HostileKind(
        "png_checksum", "a PNG whose header has a wrong checksum", Reason.IMAGE_UNREADABLE,
        _image(files.png_with_wrong_checksum),
    ),
    HostileKind(
        "png_of_xcode", "a PNG that begins with another chunk than its header, as Xcode writes it",
        Reason.IMAGE_UNREADABLE, _image(files.png_of_xcode),
    ),
    HostileKind(
        "webp_sizeless", "a WEBP with noise where its size would be", Reason.IMAGE_UNREADABLE,
        _image(files.webp_without_pixels),
    ),
    HostileKind(
        "png_garbage", "a PNG whose pixels are no zlib stream", Reason.IMAGE_UNREADABLE,
        _image(files.png_with_garbage_for_pixels),
    ),
    HostileKind(
        "png_sizeless", "a PNG of 0x0 pixels", Reason.IMAGE_UNREADABLE,
        _image(partial(files.png_that_claims, 0, 0)),
    ),
    HostileKind(
        "png_paletteless", "a PNG with palette colours and no palette", Reason.IMAGE_UNREADABLE,
        _image(files.png_without_palette),
    ),
    HostileKind(
        "gif_pictureless", "a GIF without a picture", Reason.IMAGE_UNREADABLE,
        _image(files.gif_without_picture),
    ),
    HostileKind(
        "jpeg_exif_corrupt", "a JPEG with EXIF that points nowhere", None,
        _image(partial(files.jpeg_with, 0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"x" * 40)),
    ),
    HostileKind(
        "jpeg_icc_corrupt", "a JPEG with a colour profile of garbage, in a wrong number of parts",
        None, _image(partial(files.jpeg_with, 0xE2, b"ICC_PROFILE\0\x01\x09" + b"x" * 100)),
    ),
    HostileKind(
        "png_icc_corrupt", "a PNG with a colour profile that does not unpack", None,
        _image(partial(files.png, 8, 8, files.chunk(b"iCCP", b"a\0\x07garbage"))),
    ),
)  # fmt: skip
_COSTLY_IMAGES = (
    *(
        HostileKind(
            f"{name}_pixels", f"a small {name.upper()} that claims {side_px}x{side_px} pixels",
            Reason.IMAGE_TOO_LARGE, _image(partial(make, side_px, side_px)),
        )
        for name, make, side_px in (
            ("jpeg", files.jpeg_that_claims, 65_000),
            ("png", files.png_that_claims, files.BIG_SIDE_PX),
            ("webp", files.webp_canvas, files.BIG_SIDE_PX),
            ("gif", files.gif, files.BIG_SIDE_PX),
        )
    ),
    HostileKind(
        "gif_disposal", "a GIF that has 1.6 billion pixels cleared", Reason.IMAGE_TOO_LARGE,
        _image(files.gif_with_large_disposal),
    ),
    HostileKind(
        "png_two_sizes", "a PNG with a second, larger header", Reason.IMAGE_TOO_LARGE,
        _image(files.png_with_two_sizes),
    ),
    HostileKind(
        "png_side", "a PNG of 1x100000 pixels: higher than any may be", Reason.IMAGE_TOO_LARGE,
        _image(partial(files.png, 1, 100_000)),
    ),
    HostileKind(
        "jpeg_scans", "a JPEG that draws 16 million pixels 200 times", Reason.IMAGE_TOO_LARGE,
        _image(files.jpeg_with_many_scans),
    ),
    HostileKind(
        "jpeg_segments", "a JPEG of 150,000 empty comments", Reason.IMAGE_TOO_LARGE,
        _image(files.jpeg_with_many_segments),
    ),
    HostileKind(
        "png_chunks", "a PNG of 150,000 empty chunks", Reason.IMAGE_TOO_LARGE,
        _image(files.png_with_many_chunks),
    ),
    HostileKind(
        "gif_blocks", "a GIF with a comment in 150,000 blocks", Reason.IMAGE_TOO_LARGE,
        _image(partial(files.gif_with_comment, files.MANY_PARTS, 1)),
    ),
    HostileKind(
        "gif_comment", "a GIF with a comment of 1 MB", None,
        _image(partial(files.gif_with_comment, 1_000_000, 255)),
    ),
    HostileKind(
        "png_text_bomb", "a PNG with a zTXt chunk that unpacks to 50 MB", None,
        _image(partial(files.png_unpacking, b"zTXt", b"a\0\0")),
    ),
    HostileKind(
        "png_xmp_bomb", "a PNG with XMP that unpacks to 50 MB", None,
        _image(partial(files.png_unpacking, b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")),
    ),
    HostileKind(
        "png_profile_bomb", "a PNG with EXIF in a text that unpacks to 50 MB", None,
        _image(partial(files.png_unpacking, b"zTXt", b"Raw profile type exif\0\0")),
    ),
    HostileKind(
        "png_icc_bomb", "a PNG with a colour profile that unpacks to 50 MB", None,
        _image(partial(files.png_unpacking, b"iCCP", b"a\0\0")),
    ),
    HostileKind(
        "jpeg_exif_bomb", "a JPEG whose EXIF names its 60 KB 5,000 times", None,
        _image(lambda: files.jpeg_with(0xE1, b"Exif\0\0" + files.exif_bomb(60_000))),
    ),
    HostileKind(
        "png_exif_bomb", "a PNG whose EXIF names its 300 KB 25,000 times: 7 GB", None,
        _image(lambda: files.png(8, 8, files.chunk(b"eXIf", files.exif_bomb(300_000)))),
    ),
    HostileKind(
        "gif_frames", "a GIF of 20,000 frames: the first counts", None,
        _image(partial(files.gif, 8, 8, frames=files.MANY_FRAMES)),
    ),
    HostileKind(
        "apng_frames", "an animated PNG of 20,000 frames: the first counts", None,
        _image(files.apng_with_many_frames),
    ),
    HostileKind(
        "webp_frames", "an animated WebP of 20,000 frames: the first counts", None,
        _image(files.webp_with_many_frames),
    ),
)  # fmt: skip
_ODD_IMAGES = (
    HostileKind(
        "jpeg_trailer", "a JPEG without an end and with a phone's data behind it", None,
        _image(files.jpeg_with_trailer),
    ),
    HostileKind(
        "png_clear_colour", "a PNG of 16 bits with a transparent colour", None,
        _image(files.png_with_clear_colour),
    ),
    HostileKind(
        "gif_dot", "a GIF of 64x48 whose picture is one pixel", None,
        _image(partial(files.gif_of_a_dot, 64, 48)),
    ),
    HostileKind("png_dot", "a PNG of one pixel", None, _image(partial(files.png, 1, 1))),
    HostileKind(
        "png_line", "a PNG of 1x30000 pixels", None, _image(partial(files.png, 1, 30_000))
    ),
    HostileKind(
        "png_16_bits", "a PNG of 16 bits", None, _image(partial(files.png, 48, 48, bits=16))
    ),
    HostileKind("png_interlaced", "an interlaced PNG", None, _image(files.png_interlaced)),
    HostileKind(
        "png_transparent", "a PNG with a palette and a transparent colour", None,
        _image(partial(files.saved, "PNG", "P", transparency=0)),
    ),
    HostileKind("jpeg_cmyk", "a CMYK JPEG", None, _image(partial(files.saved, "JPEG", "CMYK"))),
    HostileKind(
        "jpeg_progressive", "a progressive JPEG", None,
        _image(partial(files.saved, "JPEG", progressive=True)),
    ),
    HostileKind(
        "jpeg_zip", "a JPEG that is a ZIP archive too", None,
        _image(lambda: files.saved("JPEG") + files.zipped()),
    ),
    HostileKind(
        "jpeg_html", "a JPEG that is a web page too", None,
        _image(lambda: files.saved("JPEG") + files.HTML),
    ),
    HostileKind("gif_script", "a GIF that is JavaScript too", None,
                _image(files.gif_that_is_a_script)),
    *(
        HostileKind(
            f"posing_{name}", f"{what} for an image", Reason.IMAGE_FORMAT_REFUSED, _image(make)
        )
        for name, what, make in (
            ("svg", "an SVG with a script", lambda: files.SVG),
            ("html", "a web page", lambda: files.HTML),
            ("pdf", "a PDF", lambda: files.PDF),
            ("eps", "an EPS program", lambda: files.EPS),
            ("psd", "a Photoshop file", lambda: files.PSD),
            ("tiff", "a TIFF", partial(files.saved, "TIFF")),
            ("bmp", "a BMP", partial(files.saved, "BMP")),
            ("ico", "an icon", partial(files.saved, "ICO")),
            ("heic", "an HEIC, as phones name them .jpg,", files.heic_start),
            ("avif", "an AVIF", files.avif_start),
            ("jpeg2000", "a JPEG 2000", lambda: files.JPEG_2000),
            ("wave", "a sound in WebP's container", files.wave),
            ("zip", "a ZIP archive", files.zipped),
        )
    ),
)  # fmt: skip
_URIS = (
    HostileKind(
        "uri_wrong_name", "a PNG named .jpg: content counts", None,
        _object(partial(files.saved, "PNG")),
    ),
    HostileKind(
        "uri_web_page", "an object that is a web page", Reason.IMAGE_FORMAT_REFUSED,
        _object(lambda: files.HTML),
    ),
    HostileKind(
        "uri_empty_object", "an object of 0 bytes", Reason.IMAGE_FORMAT_REFUSED,
        _object(lambda: b""),
    ),
    HostileKind(
        "uri_foreign_bucket", "a bucket that is not allowed", Reason.IMAGE_URI_REFUSED,
        _uri(f"gs://{FOREIGN_BUCKET}/a.jpg"),
    ),
    HostileKind(
        "uri_metadata_server", "a bucket that is an address", Reason.IMAGE_URI_REFUSED,
        _uri("gs://169.254.169.254/computeMetadata/v1/"),
    ),
    HostileKind(
        "uri_http", "an http:// URI", Reason.SCHEMA_VIOLATION, _uri("http://127.0.0.1:8080/a.jpg")
    ),
    HostileKind("uri_file", "a file:// URI", Reason.SCHEMA_VIOLATION, _uri("file:///etc/passwd")),
    HostileKind("uri_bucket", "a bucket, no object", Reason.SCHEMA_VIOLATION, _uri("gs://{bucket}")),
    HostileKind(
        "uri_user", "a URI with a user and a password", Reason.SCHEMA_VIOLATION,
        _uri("gs://user:secret@{bucket}/a.jpg"),
    ),
    HostileKind(
        "uri_path", "a path that climbs out of the bucket: only a name here",
        Reason.IMAGE_NOT_FOUND, _uri("gs://{bucket}/../" + FOREIGN_BUCKET + "/a.jpg"),
    ),
    HostileKind(
        "uri_dots", "an object named `..`", Reason.IMAGE_NOT_FOUND, _uri("gs://{bucket}/..")
    ),
    HostileKind(
        "uri_query", "a name with a query and a fragment", Reason.IMAGE_NOT_FOUND,
        _uri("gs://{bucket}/{name}?alt=json&generation=1#a"),
    ),
    HostileKind(
        "uri_long_name", "a name longer than any object's", Reason.IMAGE_NOT_FOUND,
        _uri("gs://{bucket}/" + "\u00e4" * 600),
    ),
    HostileKind(
        "uri_missing", "an object that does not exist", Reason.IMAGE_NOT_FOUND,
        _uri("gs://{bucket}/{name}"),
    ),
    HostileKind(
        "uri_forbidden", "an object without permission", Reason.IMAGE_FORBIDDEN,
        _uri("gs://{bucket}/{name}"), trouble=Trouble.FORBIDDEN,
    ),
    HostileKind(
        "uri_silent", "an object that never comes", Reason.IMAGE_FETCH_FAILED,
        _uri("gs://{bucket}/{name}"), trouble=Trouble.SILENT,
    ),
    HostileKind(
        "uri_huge", "an object of 500 MB", Reason.IMAGE_TOO_LARGE,
        _uri("gs://{bucket}/{name}"), trouble=Trouble.HUGE,
    ),
    HostileKind(
        "uri_unpacked", "an object stored in gzip that unpacks to 50 MB", Reason.IMAGE_TOO_LARGE,
        _object(files.gzipped), trouble=Trouble.UNPACKED,
    ),
)  # fmt: skip
HOSTILE: Mapping[str, HostileKind] = {
    kind.name: kind
    for kind in (
        *_MESSAGES,
        *_TEXTS,
        *_BASE64,
        *_BROKEN_IMAGES,
        *_COSTLY_IMAGES,
        *_ODD_IMAGES,
        *_URIS,
    )
}
