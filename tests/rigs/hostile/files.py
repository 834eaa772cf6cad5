"""Image files that are broken, posing or costly on purpose; each call gives the same bytes."""

import functools
import gzip
import io
import struct
import zipfile
import zlib

from PIL import Image

from loadtest.traffic.poison_files import (
    BIG_SIDE_PX,
    PNG_START,
    SIZE_PX,
    chunk,
    cut,
    png,
    png_header,
    saved,
)

MANY_PARTS = 150_000
MANY_FRAMES = 20_000
UNPACKED_BYTES = 50_000_000
ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def png_with_two_sizes() -> bytes:
    return png(8, 8, png_header(BIG_SIDE_PX, BIG_SIDE_PX))


def png_of_xcode() -> bytes:
    """As Xcode optimises it for its devices: a chunk before the header, and no zlib header."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = packer.compress(bytes(1 + 4 * 8) * 8) + packer.flush()
    parts = (chunk(b"CgBI", b"\x50\0\x20\x02"), png_header(8, 8, colours=6), chunk(b"IDAT", packed))
    return PNG_START + b"".join(parts) + chunk(b"IEND", b"")


def png_with_clear_colour() -> bytes:
    """Black of 16 bits, which is transparent."""
    header, pixels = png_header(8, 8, bits=16), zlib.compress(bytes(1 + 6 * 8) * 8)
    body = chunk(b"tRNS", bytes(6)) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return PNG_START + header + body


def png_with_wrong_checksum() -> bytes:
    data = bytearray(png(8, 8))
    data[29] ^= 1
    return bytes(data)


def png_with_garbage_for_pixels() -> bytes:
    body = chunk(b"IDAT", b"no zlib stream at all") + chunk(b"IEND", b"")
    return PNG_START + png_header(8, 8) + body


def png_without_palette() -> bytes:
    pixels = chunk(b"IDAT", zlib.compress(bytes(9) * 8)) + chunk(b"IEND", b"")
    return PNG_START + png_header(8, 8, colours=3) + pixels


@functools.cache
def png_unpacking(kind: bytes, start: bytes) -> bytes:
    """With a chunk of 50 KB that unpacks to 50 MB."""
    packer = zlib.compressobj(9)
    million = bytes(1_000_000)
    packed = [packer.compress(million) for _ in range(UNPACKED_BYTES // len(million))]
    return png(8, 8, chunk(kind, start + b"".join(packed) + packer.flush()))


def png_with_many_chunks() -> bytes:
    return png(8, 8, chunk(b"teSt", b"") * MANY_PARTS)


def png_interlaced() -> bytes:
    """Adam7 by hand, of one grey: every pass is rows of zeros."""
    passes = [(8, 8, 0, 0), (8, 8, 4, 0), (4, 8, 0, 4), (4, 4, 2, 0), (2, 4, 0, 2), (2, 2, 1, 0)]
    passes.append((1, 2, 0, 1))
    rows = b"".join(
        bytes(1 + 3 * len(range(x, SIZE_PX, step_x))) * len(range(y, SIZE_PX, step_y))
        for step_x, step_y, x, y in passes
    )
    header = chunk(b"IHDR", struct.pack(">LLBBBBB", SIZE_PX, SIZE_PX, 8, 2, 0, 0, 1))
    return PNG_START + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@functools.cache
def apng_with_many_frames() -> bytes:
    """Each frame is one pixel, and has its own control chunk."""
    pixels = zlib.compress(bytes(1 + 3 * 8) * 8)
    dot = zlib.compress(bytes(4))
    parts = [PNG_START, png_header(8, 8), chunk(b"acTL", struct.pack(">LL", MANY_FRAMES, 0))]
    parts += [_frame_control(0, 8), chunk(b"IDAT", pixels)]
    for number in range(1, MANY_FRAMES):
        parts.append(_frame_control(2 * number - 1, 1))
        parts.append(chunk(b"fdAT", struct.pack(">L", 2 * number) + dot))
    return b"".join([*parts, chunk(b"IEND", b"")])


def _frame_control(number: int, side_px: int) -> bytes:
    return chunk(b"fcTL", struct.pack(">LLLLLHHBB", number, side_px, side_px, 0, 0, 1, 10, 0, 0))


def jpeg_with(marker: int, body: bytes) -> bytes:
    """With a segment of its own before all others."""
    segment = b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body
    data = saved("JPEG")
    return data[:2] + segment + data[20:]  # without JFIF, so that nothing else has the density


def jpeg_that_claims(width_px: int, height_px: int) -> bytes:
    data = saved("JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height_px, width_px) + data[place + 4 :]


def jpeg_with_many_segments() -> bytes:
    data = saved("JPEG")
    return data[:2] + b"\xff\xfe\0\x02" * MANY_PARTS + data[2:]


def jpeg_closed_early() -> bytes:
    return cut("JPEG") + b"\xff\xd9"


def jpeg_with_trailer() -> bytes:
    """As a phone writes a panorama: no end, and data of its own that looks like segments."""
    return saved("JPEG")[:-2] + b"\0\0\1\x0aImage_UTC_Data" + b"\xff\xc4\0\x13\xff\xd8" * 500


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("run.sh", ZIP_DATE), "#!/bin/sh\n")
    return file.getvalue()


def gif(width_px: int = 1, height_px: int = 1, before: bytes = b"", frames: int = 1) -> bytes:
    """A GIF whose pictures are of one pixel, whatever its screen."""
    screen = struct.pack("<HHBBB", width_px, height_px, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + before + gif_frame(1, 1) * frames + b";"


def gif_frame(width_px: int, height_px: int) -> bytes:
    return b"," + struct.pack("<HHHHB", 0, 0, width_px, height_px, 0) + b"\x02\x02\x4c\x01\0"


def gif_of_a_dot(width_px: int, height_px: int) -> bytes:
    """Its only picture is one pixel in the middle of its screen."""
    data = gif(width_px, height_px)
    place = data.index(b",") + 1
    return data[:place] + struct.pack("<HH", width_px // 2, height_px // 2) + data[place + 4 :]


def gif_with_large_disposal() -> bytes:
    """43 bytes; a reader that clears the picture's area first takes 1.6 GB."""
    clear_after = b"!\xf9\x04\x08\0\0\0\0"
    return gif(before=clear_after + gif_frame(BIG_SIDE_PX, BIG_SIDE_PX))


def gif_with_comment(size_bytes: int, block_bytes: int) -> bytes:
    block = bytes([block_bytes]) + b"x" * block_bytes
    return gif(before=b"!\xfe" + block * (size_bytes // block_bytes) + b"\0")


def gif_that_is_a_script() -> bytes:
    """Its width reads as the start of a comment that its own comment block ends."""
    width_px = int.from_bytes(b"/*", "little")
    script = b"*/=1;alert(document.domain)/*"
    return gif(width_px, 8, before=b"!\xfe" + bytes([len(script)]) + script + b"\0")


def gif_without_picture() -> bytes:
    return gif(frames=0)


def webp_canvas(width_px: int, height_px: int, frames: int = 1) -> bytes:
    """An animated WebP of a canvas, with frames of the picture's size."""
    still = saved("WEBP", lossless=True)
    place = still.index(b"VP8L")
    (size_bytes,) = struct.unpack_from("<L", still, place + 4)
    pixels = still[place : place + 8 + size_bytes + size_bytes % 2]
    side = struct.pack("<L", SIZE_PX - 1)[:3]
    frame = bytes(6) + side * 2 + b"\x01\0\0\0" + pixels
    sides = struct.pack("<L", width_px - 1)[:3] + struct.pack("<L", height_px - 1)[:3]
    body = b"WEBP" + _riff(b"VP8X", b"\x02\0\0\0" + sides) + _riff(b"ANIM", bytes(6))
    return _riff(b"RIFF", body + _riff(b"ANMF", frame) * frames)


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<L", len(body)) + body + bytes(len(body) % 2)


@functools.cache
def webp_with_many_frames() -> bytes:
    """Small frames: one of the picture's size a thousand times would be megabytes."""
    side = bytes(3)
    dot = Image.new("RGB", (1, 1))
    file = io.BytesIO()
    dot.save(file, "WEBP", lossless=True)
    frame = bytes(6) + side * 2 + b"\x01\0\0\0" + file.getvalue()[12:]
    body = b"WEBP" + _riff(b"VP8X", b"\x02\0\0\0" + side * 2) + _riff(b"ANIM", bytes(6))
    return _riff(b"RIFF", body + _riff(b"ANMF", frame) * MANY_FRAMES)


def webp_without_pixels() -> bytes:
    """Noise where a frame begins, which read as a size is 16383x16383."""
    return _riff(b"RIFF", b"WEBP" + _riff(b"VP8 ", b"\xff" * 30))


def heic_start() -> bytes:
    return struct.pack(">L", 24) + b"ftypheic\0\0\0\0heicmif1" + bytes(100)


def avif_start() -> bytes:
    return struct.pack(">L", 28) + b"ftypavif\0\0\0\0avifmif1miaf" + bytes(100)


def wave() -> bytes:
    return _riff(b"RIFF", b"WAVE" + _riff(b"fmt ", bytes(16)) + _riff(b"data", bytes(64)))


PDF = b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n"
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"
PSD = b"8BPS" + struct.pack(">HxxxxxxHLLHH", 1, 3, 8, 8, 8, 3) + bytes(40)
JPEG_2000 = b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(60)


@functools.cache
def gzipped() -> bytes:
    """50 KB that unpack to a JPEG's start and 50 MB behind it."""
    return gzip.compress(b"\xff\xd8\xff\xe0" + bytes(UNPACKED_BYTES), mtime=0)
