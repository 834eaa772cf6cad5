"""The pages as HTML: whatever rows and messages hold, it is escaped text in them."""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

from testudo.reasons import REASONS, Explanation, in_words

FOLDER = Path(__file__).parent / "pages"
SHOWN_LABELS = 2  # of a scorer; the others are a click away
MAX_DECISION_CHARS = 100
# Marks that make the text around them read in another direction.
_DIRECTION = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class Bar(NamedTuple):
    label: str
    score: float
    chosen: bool | None = None  # of several labels at once


class Scorer(NamedTuple):
    """One model's labels, the likeliest first, or its number."""

    model: str
    bars: Sequence[Bar]
    value: float | None = None

    @property
    def first(self) -> Sequence[Bar]:
        """At least those that are chosen."""
        return self.bars[: max(SHOWN_LABELS, sum(bool(bar.chosen) for bar in self.bars))]

    @property
    def others(self) -> Sequence[Bar]:
        return self.bars[len(self.first) :]

    @property
    def answer(self) -> str:
        """The likeliest label, or all that are chosen; "" of a number."""
        if not self.bars or self.bars[0].chosen is None:
            return self.bars[0].label if self.bars else ""
        return ", ".join(sorted(bar.label for bar in self.bars if bar.chosen))

    def is_answer(self, bar: Bar) -> bool:
        return bar is self.bars[0] if bar.chosen is None else bar.chosen


def scorers_of(scores: Iterable[Mapping[str, Any]]) -> list[Scorer]:
    """Of a row's `scores`: by model, ordered as the views order labels."""
    by_model: dict[str, list[Bar]] = {}
    values: dict[str, float] = {}
    for one in scores:
        bars = by_model.setdefault(one["model"], [])
        if one.get("value") is not None:
            values[one["model"]] = one["value"]
        else:
            bars.append(Bar(one["label"], one["score"], one.get("chosen")))
    return [
        Scorer(model, sorted(bars, key=lambda bar: (-bar.score, bar.label)), values.get(model))
        for model, bars in sorted(by_model.items())
    ]


def explanation_of(reason: str) -> Explanation:
    """A reason's meaning and remedy; a row of a newer version may have one that is not known."""
    known = {str(one): texts for one, texts in REASONS.items()}
    return known.get(reason, Explanation("", "This version does not know the reason.", ""))


def visible(text: object) -> str:
    """The text with what would move or turn other text escaped; lines stay lines."""
    return "".join(
        char.encode("unicode_escape").decode("ascii")
        if char in _DIRECTION or (unicodedata.category(char) in {"Cc", "Cs"} and char not in "\n\t")
        else char
        for char in str(text)
    )


def decisions_of(text: str | None) -> list[str]:
    """The entries of a row's `decisions`, each cut short; none where there are none."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):  # a row that no job wrote
        found = {"": text}
    entries = found.items() if isinstance(found, Mapping) else [("", found)]
    shown = ((name, one if isinstance(one, str) else json.dumps(one)) for name, one in entries)
    return [f"{name} {one}".strip()[:MAX_DECISION_CHARS] for name, one in shown]


def utc(moment: datetime | None) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if moment else ""


def seconds(value: float | None) -> str:
    """As people read a latency."""
    if value is None:
        return "none"
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def probability(score: float) -> str:
    """Three digits behind the point; a number that is no probability is still short."""
    return f"{score:.3f}" if 0 <= score <= 1 else f"{score:.3g}"


def render(template: str, /, **values: Any) -> str:
    """One page. Raises jinja2.TemplateNotFound."""
    return _templates().get_template(f"{template}.html.j2").render(values)


@cache
def policy() -> str:
    """What a browser may do in these pages: nothing but our style, our script, our thumbnails."""
    return "; ".join(
        (
            "default-src 'none'",
            "img-src 'self'",
            f"style-src '{_digest('view.css')}'",
            f"script-src '{_digest('view.js')}'",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )


def _own(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(name: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(_own(name).encode()).digest()).decode()


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(visible=visible, plain=in_words, utc=utc, seconds=seconds)
    environment.filters.update(probability=probability)
    environment.globals.update(
        style=Markup(_own("view.css")),  # noqa: S704 - a file of this package
        script=Markup(_own("view.js")),  # noqa: S704 - the same
        scorers_of=scorers_of,
        decisions_of=decisions_of,
        explanation_of=explanation_of,
    )
    return environment
