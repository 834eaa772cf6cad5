"""Text files as people's tools write them: UTF-8, or refused by the name of what they are."""

import codecs

# UTF-32's mark begins with UTF-16's.
MARKS = {
    codecs.BOM_UTF8: "UTF-8 with a byte order mark",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def refuse_other_encodings(data: bytes) -> None:
    """Raises ValueError when a text file, by its beginning, is not plain UTF-8."""
    names = [name for mark, name in MARKS.items() if data.startswith(mark)]
    if b"\0" in data[:2]:
        names.append("UTF-16")  # without a mark: no text begins with NUL
    if names:
        raise ValueError(f"it is {names[0]}: save it as plain UTF-8")
