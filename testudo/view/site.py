"""The pages: what each asks of tables and messages, and shows."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from testudo.view.charts import read_pulse
from testudo.view.contents import Contents
from testudo.view.filters import PERIODS, Filters
from testudo.view.pages import Scorer, render
from testudo.view.questions import Page, Questions

MAX_CHOICES = 200  # of one filter

Show = Callable[[Filters, datetime], str]


class Source(NamedTuple):
    """What a view is of."""

    place: str  # its name, for people
    period: str  # the pages' to begin with
    refresh_s: int  # how often a page that follows is read again; 0: nothing new can come


class Site:
    """The pages by their paths, each from filters and the time to HTML."""

    def __init__(self, source: Source, questions: Questions, contents: Contents) -> None:
        self._source, self._questions, self._contents = source, questions, contents
        self.pages: Mapping[str, Show] = {
            "/": self._predictions,
            "/dead-letters": self._dead_letters,
            "/live": self._live,
            "/releases": self._releases,
            "/item": self._item,
        }

    def filters(self, given: Mapping[str, str]) -> Filters:
        """Of an address's query."""
        return Filters.read(given, period=self._source.period)

    def picture(self, name: str) -> bytes | None:
        """The thumbnail of that name, if a page has it."""
        return self._contents.jpeg(name)

    def problem(self, problem: str) -> str:
        filters = Filters(period=self._source.period)
        return self._render("problem", "", "That did not work", filters, problem=problem)

    def _predictions(self, filters: Filters, now: datetime) -> str:
        page = self._questions.predictions(filters, now)
        return self._listed("predictions", "/", "Predictions", filters, page, now)

    def _dead_letters(self, filters: Filters, now: datetime) -> str:
        page = self._questions.dead_letters(filters, now)
        return self._listed("dead_letters", "/dead-letters", "Dead letters", filters, page, now)

    def _releases(self, filters: Filters, now: datetime) -> str:
        """Without a choice the two commonest releases."""
        names = [name for name, _ in self._options(filters, now)["release"]]
        others = [name for name in names if name != filters.release]
        release = filters.release or (names[0] if names else "")
        other = filters.other or next((name for name in others if name != release), release)
        changed = Filters.read(
            {**_texts(filters), "release": release, "other": other}, period=filters.period
        )
        page = self._questions.compared(changed, now)
        title = "Two releases side by side"
        return self._listed("releases", "/releases", title, changed, page, now)

    def _listed(
        self, template: str, here: str, title: str, filters: Filters, page: Page, now: datetime
    ) -> str:
        reasons = {row["payload_uri"] or "": row.get("reason", "") for row in page.rows}
        chosen = _chosen(filters, here)
        follows = self._source.refresh_s if filters.is_first_page and here != "/releases" else 0
        return self._render(
            template,
            here,
            title,
            filters,
            refresh_s=follows if filters.follow else 0,
            page=page,
            contents=self._contents.of(reasons),
            options=self._options(filters, now),
            chosen=chosen,
            filtered=bool(chosen) and here != "/releases",
            open=bool(chosen),
            cleared=Filters(period=filters.period).query(),
            can_follow=follows,
            follow_s=self._source.refresh_s,
            likeliest_of=_likeliest_of,
        )

    def _live(self, filters: Filters, now: datetime) -> str:
        live = self._source.refresh_s > 0
        pulse = read_pulse(self._questions, filters.since(now), now, live=live)
        refresh_s = self._source.refresh_s
        title = "Live" if live else "Throughput and latency"
        return self._render(
            "live", "/live", title, filters, refresh_s=refresh_s, pulse=pulse, live=live
        )

    def _item(self, filters: Filters, now: datetime) -> str:
        story = self._questions.story(filters.tenant, filters.item) if filters.item else []
        return self._render("item", "/item", "What became of an item", filters, story=story)

    def _options(self, filters: Filters, now: datetime) -> dict[str, list[tuple[str, str]]]:
        """What each choice offers: value and text, the commonest first."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for row in self._questions.options(filters, now):
            kind, name = row["kind"].removeprefix("failing "), row["name"]
            value = f"{row['model']}:{name}" if kind == "label" else name
            text = f"{row['model']}: {name}" if kind == "label" else name
            if len(found[kind]) < MAX_CHOICES:
                found[kind].setdefault(value, text)
        kinds = {kind: list(found[kind].items()) for kind in ("tenant", "release", "reason")}
        return kinds | {"label": sorted(found["label"].items())}

    def _render(self, template: str, here: str, title: str, filters: Filters, **values: Any) -> str:
        return render(
            template,
            here=here,
            title=title,
            place=self._source.place,
            filters=filters,
            shared=Filters(period=filters.period, tenant=filters.tenant).query(),
            periods=PERIODS,
            period_options=[(value, text) for value, (text, _) in PERIODS.items()],
            **{"refresh_s": 0, **values},
        )


def _texts(filters: Filters) -> dict[str, str]:
    """Those of its values that are no time, as an address has them."""
    return {
        name: str(value) for name, value in vars(filters).items() if not isinstance(value, datetime)
    } | {"until": filters.until.isoformat()}


def _chosen(filters: Filters, here: str) -> list[tuple[str, str]]:
    """What narrows the page, in words."""
    percents = f"{filters.least} to {filters.most} %"
    of_predictions = here == "/"
    values = (
        ("tenant", filters.tenant),
        ("item", filters.item),
        ("release", filters.release),
        ("beside", filters.other),
        ("label", filters.label if of_predictions else ""),
        ("confidence", percents if (filters.least, filters.most) != (0, 100) else ""),
        ("reason", filters.reason),
        ("only", "where they differ" if filters.differing else ""),
    )
    return [(name, value) for name, value in values if value]


def _likeliest_of(scorers: Iterable[Scorer]) -> dict[str, str]:
    return {scorer.model: scorer.answer for scorer in scorers}
