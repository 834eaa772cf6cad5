"""The page: sections made of the material, and the one HTML file that shows them."""

import base64
import hashlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import altair
import jinja2
import vl_convert
from markupsafe import Markup

from loadtest.report.material import Material
from loadtest.report.plan_section import plan_section
from loadtest.report.run_section import all_runs, run_section
from loadtest.report.section import Section
from loadtest.report.trial_sections import (
    comparison_section,
    fairness_section,
    knee_section,
    proof_section,
)

FOLDER = Path(__file__).parent
VEGA_LITE = altair.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]  # as 6.4


def sections(material: Material, goal_s: float | None) -> Iterator[Section]:
    """One for each thing that there is: limits first, then what they rest on."""
    for name, makes, records in (
        ("plan", plan_section, material.plans),
        ("knee", knee_section, material.knees),
        ("proof", proof_section, material.proofs),
        ("fairness", fairness_section, material.fairness),
        ("comparison", comparison_section, material.comparisons),
    ):
        make: Callable[[Any, str], Section] = makes
        for number, record in enumerate(records, start=1):
            yield make(record, f"{name}-{number}")
    for number, run in enumerate(material.runs, start=1):
        yield run_section(run, number, goal_s)
    if len(material.runs) + len(material.parts) > 1:
        yield all_runs(material.runs, material.parts, goal_s)


def page(material: Material, *, title: str, made_at: str, goal_s: float | None = None) -> str:
    """The whole page as HTML, which needs nothing but itself.

    What comes from files is escaped, and its scripts are the two that stand here: the
    page's own policy lets a browser run no other, and load nothing.
    """
    shown = list(sections(material, goal_s))
    scripts = [_charts_library(), _own("page.js")]
    specs: dict[str, Any] = {}
    for section in shown:
        for number, figure in enumerate(section.figures):
            specs[f"{section.anchor}-{number}"] = figure.spec()
    return _template().render(
        title=title,
        made_at=made_at,
        sections=shown,
        specs=specs,
        style=Markup(_own("page.css")),  # noqa: S704 - a file of this package
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - the same, and Vega's
        hashes=" ".join(f"'sha256-{_digest(script)}'" for script in scripts),
    )


@cache
def _charts_library() -> str:
    """Vega, Vega-Lite and its embedding, as one script."""
    # Its stubs do not know that the snippet has a default.
    return vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # type: ignore[call-arg]


def _own(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2")
