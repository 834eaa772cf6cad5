"""The builds of the release pipeline as data: each step's words, with its substitutions filled."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
BUILDS = (REPOSITORY / "cloudbuild.yaml", REPOSITORY / "templates/promote.yaml")
TESTUDO = ".venv/bin/testudo"
# What Cloud Build fills in itself.
GIVEN = {"PROJECT_ID", "COMMIT_SHA", "SHORT_SHA"}
SUBSTITUTION = re.compile(r"\$\{(\w+)\}")


def build(path: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return loaded


def words(path: Path, values: Mapping[str, str]) -> dict[str, list[str]]:
    """Step id -> its words; a substitution without a value is an error."""
    return {
        step["id"]: [SUBSTITUTION.sub(lambda one: values[one[1]], word) for word in step["args"]]
        for step in build(path)["steps"]
    }
