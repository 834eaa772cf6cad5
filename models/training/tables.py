"""What a training prints of its release: tables of its measures, and verdicts in words.

Each scorer has the measure of its kind (models.training.quality).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from models.manifest import Kind, Manifest, ScorerSpec
from models.training.quality import MEASURES, MEASURES_IN_WORDS

MAX_LABELS = 20  # of a scorer, in the table; the release's manifest has all
VIEWS = {"both": "both", "image_only": "image only", "text_only": "text only"}
NAMES = {
    "both": "TF-IDF and encoder, linear",
    "image_only": "encoder, linear",
    "text_only": "TF-IDF, linear",
}


GUESSES = {
    Kind.CLASSIFICATION: "the commonest label",
    Kind.MULTILABEL: "the commonest set of labels",
    Kind.REGRESSION: "the median",
}


def named(scorer: ScorerSpec) -> str:
    """With its measure, where that is not accuracy."""
    if scorer.kind is Kind.CLASSIFICATION:
        return scorer.name
    return f"{scorer.name}, {MEASURES_IN_WORDS[MEASURES[scorer.kind]]}"


def figure(scorer: ScorerSpec, value: float | None) -> str:
    """Three digits of a share; four of a number, which may be of any size."""
    if value is None:
        return "-"
    return f"{value:.4g}" if scorer.kind is Kind.REGRESSION else f"{value:.3f}"


def evaluation_table(manifest: Manifest) -> str:
    """A line a scorer: its measure on held-out items, and how exact its file is.

    Beside it, that of the best answer that is the same for all items.
    """
    columns = "{:32} {:>8} {:>12} {:>12} {:>12} {:>32}"
    heads = ("scorer", "both", "image only", "text only", "best guess")
    lines = [columns.format(*heads, "largest LiteRT-Keras difference")]
    differences = manifest.evaluation["largest_difference"]
    for scorer in manifest.scorers:
        measured = manifest.evaluation[MEASURES[scorer.kind]][scorer.name]
        guess = manifest.evaluation["best_guess"][scorer.name]
        shown = [figure(scorer, one) for one in (*measured.values(), guess)]
        lines.append(columns.format(named(scorer), *shown, f"{differences[scorer.path]:.1e}"))
    encoder = next(one for name, one in differences.items() if "/" not in name)
    lines.append(columns.format("(image encoder)", "", "", "", "", f"{encoder:.1e}"))
    return "\n".join(lines)


def label_table(manifest: Manifest) -> str:
    """A line a label, the commonest first: how much of it was seen, and how well it is told."""
    columns = "{:40} {:>11} {:>9} {:>9}"
    lines = [columns.format("label", "trained on", "held out", "right")]
    untrained = []
    for scorer, counts in manifest.evaluation["labels"].items():
        ordered = sorted(counts.items(), key=lambda one: -one[1]["trained_on"])
        for label, count in ordered[:MAX_LABELS]:
            share = f"{count['right'] / count['held_out']:.3f}" if count["held_out"] else "-"
            name = f"{scorer}: {label!r}"
            lines.append(columns.format(name, count["trained_on"], count["held_out"], share))
        if rest := ordered[MAX_LABELS:]:
            lines.append(f"{scorer}: and {len(rest)} more, in the release's manifest.json")
        untrained += [(scorer, label) for label, count in ordered if not count["trained_on"]]
    for scorer in dict(untrained):
        names = [repr(label) for one, label in untrained if one == scorer]
        more = f" and {len(names) - MAX_LABELS} more" if len(names) > MAX_LABELS else ""
        lines.append(
            f"{scorer}: never trained on, as only held-out lines have them: "
            + ", ".join(names[:MAX_LABELS])
            + more
        )
    return "\n".join(lines)


def baseline_table(manifest: Manifest) -> str:
    """Each scorer beside linear models on the same items, with 95 % intervals."""
    columns = "{:36} {:>21} {:>21} {:>21}"
    lines = [columns.format("accuracy or other measure, 95 %", *VIEWS.values())]
    evaluation = manifest.evaluation
    for scorer in manifest.scorers:
        name, measure = scorer.name, MEASURES[scorer.kind]
        own = [
            _cell(scorer, evaluation[measure][name][view], evaluation["intervals"][name][view])
            for view in VIEWS
        ]
        found = evaluation["baselines"][name]
        beside = [
            _cell(scorer, found[view][measure], found[view]["interval"]) if view in found else "-"
            for view in VIEWS
        ]
        lines.append(columns.format(f"{named(scorer)}: this release", *own))
        lines.append(columns.format(f"{name}: TF-IDF, encoder, linear", *beside))
        guess = figure(scorer, evaluation["best_guess"][name])
        lines.append(columns.format(f"{name}: {GUESSES[scorer.kind]}", *[guess] * 3))
        lines.append(f"{name}: {_detail(scorer, evaluation)}")
    return "\n".join(lines)


def _detail(scorer: ScorerSpec, evaluation: Mapping[str, Any]) -> str:
    """What else is measured, on all held-out items."""
    if scorer.kind is Kind.CLASSIFICATION:
        return f"expected calibration error {evaluation['calibration_error'][scorer.name]:.3f}"
    if scorer.kind is Kind.MULTILABEL:
        precision = evaluation["average_precision"][scorer.name]
        return f"average precision {precision:.3f}; chosen from {scorer.threshold:.2f} on"
    low, high = evaluation["r2_interval"][scorer.name]
    return f"R2 {evaluation['r2'][scorer.name]:.3f} ({low:.3f}-{high:.3f})"


def _cell(scorer: ScorerSpec, value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None or interval is None:
        return "-"
    low, high = (figure(scorer, one) for one in interval)
    return f"{figure(scorer, value)} ({low}-{high})"


def verdicts(manifest: Manifest) -> str:
    """A line for each scorer and view in which something simpler is as good."""
    lines = [line for one in manifest.scorers for line in _verdicts(manifest, one)]
    return "\n".join(lines) or "Every scorer beats the linear models and the best guess."


def _verdicts(manifest: Manifest, scorer: ScorerSpec) -> Iterator[str]:
    evaluation, name = manifest.evaluation, scorer.name
    measure, guess = MEASURES[scorer.kind], evaluation["best_guess"][scorer.name]
    less_is_better = scorer.kind is Kind.REGRESSION
    for view, said in VIEWS.items():
        own = evaluation[measure][name][view]
        if own is None:
            continue
        low, high = evaluation["intervals"][name][view]
        worst, best = (high, low) if less_is_better else (low, high)
        if _as_good(guess, worst, less_is_better):
            yield (
                f"{name} from {said}: not surely {'below' if less_is_better else 'above'} "
                f"{GUESSES[scorer.kind]} ({figure(scorer, guess)})"
            )
        beside = evaluation["baselines"][name].get(view)
        if beside and own != beside[measure] and _as_good(beside[measure], own, less_is_better):
            within = (
                "within chance" if _as_good(best, beside[measure], less_is_better) else "surely"
            )
            yield (
                f"{name} from {said}: does NOT beat {NAMES[view]}: {figure(scorer, own)} against "
                f"{figure(scorer, beside[measure])} ({within})"
            )


def _as_good(one: float, other: float, less_is_better: bool) -> bool:
    return one <= other if less_is_better else one >= other
