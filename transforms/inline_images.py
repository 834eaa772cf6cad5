"""Images that stand in a message: from base64 to the file. No Beam here: `testudo view` reads them.

Both alphabets of base64 are taken, the standard one and that of URLs and file names. A text of
both was written by no encoder, so something happened to it on its way.
"""

import binascii
import contextlib

import pybase64

from models.failures import Reason, Rejected

STANDARD, OF_URLS = "+/", "-_"
FROM_URLS = str.maketrans(OF_URLS, STANDARD)


def inline_image(image_base64: str) -> bytes:
    """The file, from strict base64: padded, without line breaks, in one alphabet.

    Raises Rejected: IMAGE_NOT_BASE64.
    """
    with contextlib.suppress(ValueError):
        return pybase64.b64decode(image_base64, validate=True)
    if any(character in image_base64 for character in OF_URLS):
        if any(character in image_base64 for character in STANDARD):
            raise Rejected(
                Reason.IMAGE_NOT_BASE64,
                "has + or / of the standard alphabet and - or _ of that for URLs; wanted is one",
            )
        return inline_image(image_base64.translate(FROM_URLS))
    try:  # the standard library says what is wrong
        return binascii.a2b_base64(image_base64, strict_mode=True)
    except ValueError as error:  # binascii.Error, or a character beyond ASCII
        raise Rejected(Reason.IMAGE_NOT_BASE64, str(error)) from error
