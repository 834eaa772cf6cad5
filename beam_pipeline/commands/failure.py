"""How a command says that it cannot do what was asked: one clear text, exit code 2."""


class CommandError(Exception):
    """What went wrong and what to do about it, in words for the person at the terminal."""
