"""Messages with images that are broken, costly or odd."""

from functools import partial

from loadtest.traffic import poison_files
from loadtest.traffic.poison import (
    POISON,
    HostileKind,
    cut_kind,
    image,
    pixels_kind,
    posing_kind,
)  # fmt: skip
from models.failures import Reason
from rigs.hostile import files

BROKEN_IMAGES = (
    *map(cut_kind, ("JPEG", "PNG", "WEBP", "GIF")),
    HostileKind(
        "jpeg_start", "three bytes: how a JPEG starts", Reason.IMAGE_UNREADABLE,
        image(lambda: b"\xff\xd8\xff"),
    ),
    HostileKind(
        "jpeg_closed_early", "a JPEG cut off, with an end put behind: JPEG has no checksum", None,
        image(files.jpeg_closed_early),
    ),
    HostileKind(
        "png_checksum", "a PNG whose header has a wrong checksum", Reason.IMAGE_UNREADABLE,
        image(files.png_with_wrong_checksum),
    ),
    HostileKind(
        "png_of_xcode", "a PNG that begins with another chunk than its header, as Xcode writes it",
        Reason.IMAGE_UNREADABLE, image(files.png_of_xcode),
    ),
    HostileKind(
        "webp_sizeless", "a WEBP with noise where its size would be", Reason.IMAGE_UNREADABLE,
        image(files.webp_without_pixels),
    ),
    HostileKind(
        "png_garbage", "a PNG whose pixels are no zlib stream", Reason.IMAGE_UNREADABLE,
        image(files.png_with_garbage_for_pixels),
    ),
    HostileKind(
        "png_sizeless", "a PNG of 0x0 pixels", Reason.IMAGE_UNREADABLE,
        image(partial(poison_files.png_that_claims, 0, 0)),
    ),
    HostileKind(
        "png_paletteless", "a PNG with palette colours and no palette", Reason.IMAGE_UNREADABLE,
        image(files.png_without_palette),
    ),
    HostileKind(
        "gif_pictureless", "a GIF without a picture", Reason.IMAGE_UNREADABLE,
        image(files.gif_without_picture),
    ),
    HostileKind(
        "jpeg_exif_corrupt", "a JPEG with EXIF that points nowhere", None,
        image(partial(files.jpeg_with, 0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"x" * 40)),
    ),
    HostileKind(
        "jpeg_icc_corrupt", "a JPEG with a colour profile of garbage, in a wrong number of parts",
        None, image(partial(files.jpeg_with, 0xE2, b"ICC_PROFILE\0\x01\x09" + b"x" * 100)),
    ),
    HostileKind(
        "png_icc_corrupt", "a PNG with a colour profile that does not unpack", None,
        image(partial(poison_files.png, 8, 8, poison_files.chunk(b"iCCP", b"a\0\x07garbage"))),
    ),
)  # fmt: skip
COSTLY_IMAGES = (
    *(
        pixels_kind(name, make, side_px)
        for name, make, side_px in (
            ("jpeg", files.jpeg_that_claims, 65_000),
            ("png", poison_files.png_that_claims, poison_files.BIG_SIDE_PX),
            ("webp", files.webp_canvas, poison_files.BIG_SIDE_PX),
            ("gif", files.gif, poison_files.BIG_SIDE_PX),
        )
    ),
    HostileKind(
        "gif_disposal", "a GIF that has 1.6 billion pixels cleared", Reason.IMAGE_TOO_LARGE,
        image(files.gif_with_large_disposal),
    ),
    HostileKind(
        "png_two_sizes", "a PNG with a second, larger header", Reason.IMAGE_TOO_LARGE,
        image(files.png_with_two_sizes),
    ),
    HostileKind(
        "png_side", "a PNG of 1x100000 pixels: higher than any may be", Reason.IMAGE_TOO_LARGE,
        image(partial(poison_files.png, 1, 100_000)),
    ),
    POISON["jpeg_scans"],
    HostileKind(
        "jpeg_segments", "a JPEG of 150,000 empty comments", Reason.IMAGE_TOO_LARGE,
        image(files.jpeg_with_many_segments),
    ),
    HostileKind(
        "png_chunks", "a PNG of 150,000 empty chunks", Reason.IMAGE_TOO_LARGE,
        image(files.png_with_many_chunks),
    ),
    HostileKind(
        "gif_blocks", "a GIF with a comment in 150,000 blocks", Reason.IMAGE_TOO_LARGE,
        image(partial(files.gif_with_comment, files.MANY_PARTS, 1)),
    ),
    HostileKind(
        "gif_comment", "a GIF with a comment of 1 MB", None,
        image(partial(files.gif_with_comment, 1_000_000, 255)),
    ),
    HostileKind(
        "png_text_bomb", "a PNG with a zTXt chunk that unpacks to 50 MB", None,
        image(partial(files.png_unpacking, b"zTXt", b"a\0\0")),
    ),
    HostileKind(
        "png_xmp_bomb", "a PNG with XMP that unpacks to 50 MB", None,
        image(partial(files.png_unpacking, b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0")),
    ),
    HostileKind(
        "png_profile_bomb", "a PNG with EXIF in a text that unpacks to 50 MB", None,
        image(partial(files.png_unpacking, b"zTXt", b"Raw profile type exif\0\0")),
    ),
    HostileKind(
        "png_icc_bomb", "a PNG with a colour profile that unpacks to 50 MB", None,
        image(partial(files.png_unpacking, b"iCCP", b"a\0\0")),
    ),
    HostileKind(
        "jpeg_exif_bomb", "a JPEG whose EXIF names its 60 KB 5,000 times", None,
        image(lambda: files.jpeg_with(0xE1, b"Exif\0\0" + poison_files.exif_bomb(60_000))),
    ),
    POISON["png_exif_bomb"],
    HostileKind(
        "gif_frames", "a GIF of 20,000 frames: the first counts", None,
        image(partial(files.gif, 8, 8, frames=files.MANY_FRAMES)),
    ),
    HostileKind(
        "apng_frames", "an animated PNG of 20,000 frames: the first counts", None,
        image(files.apng_with_many_frames),
    ),
    HostileKind(
        "webp_frames", "an animated WebP of 20,000 frames: the first counts", None,
        image(files.webp_with_many_frames),
    ),
)  # fmt: skip
ODD_IMAGES = (
    HostileKind(
        "jpeg_trailer", "a JPEG without an end and with a phone's data behind it", None,
        image(files.jpeg_with_trailer),
    ),
    HostileKind(
        "png_clear_colour", "a PNG of 16 bits with a transparent colour", None,
        image(files.png_with_clear_colour),
    ),
    HostileKind(
        "gif_dot", "a GIF of 64x48 whose picture is one pixel", None,
        image(partial(files.gif_of_a_dot, 64, 48)),
    ),
    HostileKind("png_dot", "a PNG of one pixel", None, image(partial(poison_files.png, 1, 1))),
    HostileKind(
        "png_line", "a PNG of 1x30000 pixels", None, image(partial(poison_files.png, 1, 30_000))
    ),
    HostileKind(
        "png_16_bits", "a PNG of 16 bits", None, image(partial(poison_files.png, 48, 48, bits=16))
    ),
    HostileKind("png_interlaced", "an interlaced PNG", None, image(files.png_interlaced)),
    HostileKind(
        "png_transparent", "a PNG with a palette and a transparent colour", None,
        image(partial(poison_files.saved, "PNG", "P", transparency=0)),
    ),
    HostileKind(
        "jpeg_cmyk", "a CMYK JPEG", None, image(partial(poison_files.saved, "JPEG", "CMYK"))
    ),
    HostileKind(
        "jpeg_progressive", "a progressive JPEG", None,
        image(partial(poison_files.saved, "JPEG", progressive=True)),
    ),
    HostileKind(
        "jpeg_zip", "a JPEG that is a ZIP archive too", None,
        image(lambda: poison_files.saved("JPEG") + files.zipped()),
    ),
    HostileKind(
        "jpeg_html", "a JPEG that is a web page too", None,
        image(lambda: poison_files.saved("JPEG") + poison_files.HTML),
    ),
    HostileKind("gif_script", "a GIF that is JavaScript too", None,
                image(files.gif_that_is_a_script)),
    *(
        posing_kind(name, what, make)
        for name, what, make in (
            ("svg", "an SVG with a script", lambda: poison_files.SVG),
            ("html", "a web page", lambda: poison_files.HTML),
            ("pdf", "a PDF", lambda: files.PDF),
            ("eps", "an EPS program", lambda: files.EPS),
            ("psd", "a Photoshop file", lambda: files.PSD),
            ("tiff", "a TIFF", partial(poison_files.saved, "TIFF")),
            ("bmp", "a BMP", partial(poison_files.saved, "BMP")),
            ("ico", "an icon", partial(poison_files.saved, "ICO")),
            ("heic", "an HEIC, as phones name them .jpg,", files.heic_start),
            ("avif", "an AVIF", files.avif_start),
            ("jpeg2000", "a JPEG 2000", lambda: files.JPEG_2000),
            ("wave", "a sound in WebP's container", files.wave),
            ("zip", "a ZIP archive", files.zipped),
        )
    ),
)  # fmt: skip
