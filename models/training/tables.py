"""What a training prints of its release: tables of accuracy, and verdicts in words."""

from collections.abc import Iterator

from models.manifest import Manifest

MAX_LABELS = 20  # of a scorer, in the table; the release's manifest has all
VIEWS = {"both": "both", "image_only": "image only", "text_only": "text only"}
NAMES = {
    "both": "TF-IDF and encoder, linear",
    "image_only": "encoder, linear",
    "text_only": "TF-IDF, linear",
}


def evaluation_table(manifest: Manifest) -> str:
    """A line a scorer: its accuracy on held-out items, and how exact its file is.

    Beside it, that of always answering the commonest label.
    """
    columns = "{:24} {:>8} {:>12} {:>12} {:>17} {:>32}"
    heads = ("scorer", "both", "image only", "text only", "commonest label")
    lines = [columns.format(*heads, "largest LiteRT-Keras difference")]
    differences = manifest.evaluation["largest_difference"]
    for scorer in manifest.scorers:
        accuracy = manifest.evaluation["accuracy"][scorer.name]
        commonest = manifest.evaluation["commonest_share"][scorer.name]
        shares = ["-" if one is None else f"{one:.3f}" for one in (*accuracy.values(), commonest)]
        lines.append(columns.format(scorer.name, *shares, f"{differences[scorer.path]:.1e}"))
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
    lines = [columns.format("accuracy, 95 % interval", *VIEWS.values())]
    evaluation = manifest.evaluation
    for scorer in manifest.scorers:
        name = scorer.name
        own = [
            _cell(evaluation["accuracy"][name][view], evaluation["intervals"][name][view])
            for view in VIEWS
        ]
        found = evaluation["baselines"][name]
        beside = [
            _cell(found[view]["accuracy"], found[view]["interval"]) if view in found else "-"
            for view in VIEWS
        ]
        lines.append(columns.format(f"{name}: this release", *own))
        lines.append(columns.format(f"{name}: TF-IDF, encoder, linear", *beside))
        commonest = evaluation["commonest_share"][name]
        lines.append(columns.format(f"{name}: the commonest label", *[f"{commonest:.3f}"] * 3))
        error = evaluation["calibration_error"][name]
        lines.append(f"{name}: expected calibration error {error:.3f}")
    return "\n".join(lines)


def _cell(share: float | None, interval: tuple[float, float]) -> str:
    if share is None:
        return "-"
    return f"{share:.3f} ({interval[0]:.3f}-{interval[1]:.3f})"


def verdicts(manifest: Manifest) -> str:
    """A line for each scorer and view in which something simpler is as good."""
    lines = [line for one in manifest.scorers for line in _verdicts(manifest, one.name)]
    return "\n".join(lines) or "Every scorer beats the linear models and the commonest label."


def _verdicts(manifest: Manifest, name: str) -> Iterator[str]:
    evaluation = manifest.evaluation
    commonest = evaluation["commonest_share"][name]
    for view, said in VIEWS.items():
        own = evaluation["accuracy"][name][view]
        if own is None:
            continue
        low, _ = evaluation["intervals"][name][view]
        if low <= commonest:
            yield f"{name} from {said}: not surely above the commonest label ({commonest:.3f})"
        beside = evaluation["baselines"][name].get(view)
        if beside and own < beside["accuracy"]:
            within = (
                "within chance" if beside["accuracy"] <= _high(manifest, name, view) else "surely"
            )
            yield (
                f"{name} from {said}: does NOT beat {NAMES[view]}: {own:.3f} against "
                f"{beside['accuracy']:.3f} ({within})"
            )


def _high(manifest: Manifest, name: str, view: str) -> float:
    return float(manifest.evaluation["intervals"][name][view][1])
