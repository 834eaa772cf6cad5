"""The tree of errors that a person may see is the one that testudo/errors.py draws."""

import ast
import re

from source import modules

import testudo.errors

FOLDERS = ("models", "transforms", "beam_pipeline", "testudo")
ROOT = "TestudoError"


def classes() -> dict[str, list[str]]:
    """The classes of these folders with the names of their bases."""
    return {
        node.name: [ast.unparse(base) for base in node.bases]
        for name, tree in modules().items()
        if name.partition(".")[0] in FOLDERS
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    }


def test_every_error_stands_in_the_tree_below_its_base() -> None:
    """A class more, or one that moves, has to be drawn."""
    drawn: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (testudo.errors.__doc__ or "").splitlines():
        if match := re.match(r"    ([ |+]*)([A-Z]\w+)", line):
            depth, name = len(match[1]), match[2]
            above = [(column, parent) for column, parent in above if column < depth]
            drawn[name] = above[-1][1] if above else ""
            above.append((depth, name))
    bases = classes()
    below = {ROOT: ""}
    while more := {
        name: base
        for name, of in bases.items()
        for base in of
        if base in below and name not in below
    }:
        below |= more
    del drawn["PartEnded"]
    assert drawn == below
