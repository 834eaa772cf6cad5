"""How a command says that it cannot do what was asked: one clear text, exit code 2."""


def shown(text: str) -> str:
    """The text with everything escaped that a terminal would not simply print.

    Control characters move the cursor or rewrite the screen, and marks of
    direction make a text look like another.
    """
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in text
    )


class CommandError(Exception):
    """What went wrong and what to do about it, in words for the person at the terminal."""
