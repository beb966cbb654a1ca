"""The sections of a report, in the order in which a person reads them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tuner import attributes
from tuner.columns import (
    Column,
    candidate_columns,
    caveats,
    example_columns,
    interval,
    outcome_columns,
    score_columns,
    seeds_told,
    shortened,
    tested_columns,
)
from tuner.output import dump, number
from tuner.reporting import charts, importance, outcome
from tuner.reporting.facts import about
from tuner.reporting.page import (
    Page,
    code,
    confusion_matrix,
    facts,
    group,
    heading,
    hidden,
    paragraph,
    table,
)
from tuner.toml import key, toml
from tuner.verdict import MEANINGS

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

    from tuner.reporting.snapshot import Snapshot
    from tuner.results import TrialRow

MOST_SLICES = 6
"""So many hyperparameters at most are drawn by themselves, and in parallel."""
MOST_DRAWN = 2000
"""So many trials at most are drawn: a browser has to carry them."""
MOST_CLASSES = 40
"""A confusion matrix of more classes is no picture any more."""

Section = Callable[["Snapshot", Page], Iterator[str]]


def head(study: Snapshot, page: Page) -> Iterator[str]:
    """What was tuned, and what came out."""
    yield heading(study.name, level=1)
    yield group(*map(paragraph, outcome.sentences(study)), kind="outcome")
    yield facts({name: value for name, value in about(study) if value})


def best_trials(study: Snapshot, page: Page) -> Iterator[str]:
    """The best trials beside each other."""
    several = len(study.metrics) > 1
    yield heading("The Pareto front" if several else "The best trials")
    if len(study.metrics) == 2:
        yield page.chart(charts.front(_drawn(study), study.best, study.directions))
    yield table(outcome_columns(study.best, study.metrics))
    if attributes.VERDICT in study.chosen.attributes:
        yield paragraph(
            "Scores and losses are of the weights of the best epoch, on the validation part unless said otherwise.",
            "soft",
        )


def search(study: Snapshot, page: Page) -> Iterator[str]:
    """How the search went, and which hyperparameters mattered."""
    yield heading("The search")
    drawn = _drawn(study)
    if len(drawn) < len(study.rows):
        yield paragraph(f"{len(drawn):,} of {len(study.rows):,} trials are drawn.", "soft")
    optuna_study = study.study()
    searched = study.searched(optuna_study)
    for index, (metric, direction) in enumerate(study.directions.items()):
        yield heading(f"{metric} by trial", level=3)
        yield page.chart(charts.history(study.rows, drawn, metric, direction, study.usual))
        found = importance.importances(optuna_study, index)
        yield heading(f"Which hyperparameters mattered for {metric}", level=3)
        yield from _mattered(study, page, found)
        first = _first_of(searched, found)
        slices = [page.chart(charts.slice_of(drawn, name, first[name], metric, direction)) for name in first]
        yield group(*slices, kind="side")
        if len(study.metrics) == 1 and len(first) > 1 and len(study.finished) >= importance.LEAST_TRIALS:
            yield heading("The best configurations among the others", level=3)
            yield page.chart(charts.parallel(study.finished, study.best, first), wide=True)


def _mattered(study: Snapshot, page: Page, found: Sequence[importance.Importance] | str) -> Iterator[str]:
    if isinstance(found, str):
        yield paragraph(f"{found}.", "soft")
        return
    yield page.chart(charts.importance(found))
    finished = len(study.finished)
    yield paragraph(
        f"How much the values of the best {importance.best_count(finished)} differ from those of all {finished} that "
        "finished (PED-ANOVA), as a share of the whole. Grey bars tell nothing: chance alone gives as much in one case "
        "of twenty. Pruned trials do not count, and what matters only together with others may be underrated.",
        "soft",
    )


def _first_of(
    searched: Mapping[str, BaseDistribution], found: Sequence[importance.Importance] | str
) -> dict[str, BaseDistribution]:
    """Return the first hyperparameters, the most important ones where that is known."""
    names = list(searched) if isinstance(found, str) else [one.name for one in found if one.name in searched]
    return {name: searched[name] for name in names[:MOST_SLICES]}


def _drawn(study: Snapshot) -> Sequence[TrialRow]:
    """Return the trials that are drawn: every so many of them where there are too many, and the best ones."""
    step = -(-len(study.rows) // MOST_DRAWN)
    best = {row.number for row in study.best}
    return [row for place, row in enumerate(study.rows) if place % step == 0 or row.number in best]


def chosen_trial(study: Snapshot, page: Page) -> Iterator[str]:
    """The trial to use, in full."""
    row = study.chosen
    yield heading(f"Trial {row.number} in full")
    verdict = row.attributes.get(attributes.VERDICT)
    if verdict is not None:
        gap = number(row.attributes.get(attributes.GENERALISATION_GAP))
        meaning = MEANINGS.get(str(verdict), "")
        yield paragraph(f"Verdict: {verdict}. {meaning} Validation loss − training loss: {gap}.")
    yield group(*_curves(study, page), kind="side")
    scores = _scores(study)
    if scores:
        yield heading("Scores", level=3)
        yield table(scores)
    yield from _confusion(study)
    examples = example_columns(row)
    if examples:
        yield heading("Examples", level=3)
        yield table(examples)
    yield from _hyperparameters(study)


def _curves(study: Snapshot, page: Page) -> Iterator[str]:
    epochs = study.epochs
    if len(epochs) < 2:
        return
    noted = study.chosen.attributes.get(attributes.BEST_EPOCH)
    best = noted if isinstance(noted, int) else None
    unit = "epoch" if attributes.EPOCHS in study.chosen.attributes else "step"
    losses = [name for name in ("training_loss", "validation_loss") if any(name in one.scores for one in epochs)]
    if losses:
        yield page.chart(charts.curve(epochs, losses, best=best, title="loss", unit=unit))
    for metric in study.metrics:
        if any(metric in epoch.scores for epoch in epochs):
            yield page.chart(charts.curve(epochs, [metric], best=best, title=metric, unit=unit))


def _scores(study: Snapshot) -> list[Column]:
    """Return the scores of the chosen trial in the search, and those that a confirmation found."""
    columns = score_columns(study.chosen, study.metrics)
    found = study.confirmation
    if not columns or found is None or found.chosen.trial != study.chosen.number:
        return columns
    tested = [interval(found.test[name]) if name in found.test else "–" for name in columns[0].cells]
    return [*columns, Column(title=f"test, {seeds_told(found)}", cells=tested)] if found.test else columns


def _confusion(study: Snapshot) -> Iterator[str]:
    matrix = study.chosen.confusion_matrix
    if not matrix or len(matrix) > MOST_CLASSES:
        return
    yield heading("Confusion matrix on the validation part", level=3)
    yield confusion_matrix(matrix, study.results.class_names(len(matrix)))


def _hyperparameters(study: Snapshot) -> Iterator[str]:
    params = study.chosen.params
    if not params:
        return
    yield heading("Hyperparameters", level=3)
    columns = [
        Column(title="hyperparameter", cells=list(params), left=True),
        Column(title="value", cells=[number(value) for value in params.values()]),
    ]
    if not study.spec:
        yield table(columns)
        return
    title = "[space]" if study.of_network else "[[search.first]]"
    lines = [title, *(f"{key(name)} = {toml(value)}" for name, value in params.items())]
    meaning = "To fix them" if study.of_network else "To try them first"
    yield group(
        table(columns),
        group(paragraph(f"{meaning} in a study file:", "soft"), code("\n".join(lines)), kind="copy"),
        kind="side",
    )


def confirmation(study: Snapshot, page: Page) -> Iterator[str]:
    """What fresh seeds and the test part said."""
    found = study.confirmation
    if found is None:
        return
    yield heading("Confirmation")
    yield paragraph(
        f"The best trials of the search, trained again from {seeds_told(found)} each. Intervals are of 95 %; as good "
        "are those that the seeds do not tell from the chosen one."
    )
    for metric in found.chosen.searched:
        yield page.chart(charts.seeds(found, metric))
    yield table(candidate_columns(found))
    if found.test:
        yield paragraph(f"Trial {found.chosen.trial} on the {found.test_samples} samples of the test part:")
        yield table(tested_columns(found))
    for caveat in caveats(found):
        yield paragraph(caveat)


def failures(study: Snapshot, page: Page) -> Iterator[str]:
    """What went wrong, by class, with an example of each."""
    classes: defaultdict[str, list[TrialRow]] = defaultdict(list)
    for row in study.rows:
        if row.state in ("failed", "diverged") or attributes.failure(row.attributes):
            classes[attributes.failure(row.attributes).get("class", row.state)].append(row)
    if not classes:
        return
    yield heading("What went wrong")
    groups = list(classes.values())
    yield table(
        [
            Column(title="failure", cells=list(classes), left=True),
            Column(title="trials", cells=[str(len(rows)) for rows in groups]),
            Column(title="for example", cells=[f"trial {rows[0].number}" for rows in groups], left=True),
            Column(title="reason", cells=[_reason(rows[0]) for rows in groups], left=True),
        ]
    )


def _reason(row: TrialRow) -> str:
    return shortened(attributes.failure(row.attributes).get("reason", "–"))


def foot(study: Snapshot, page: Page) -> Iterator[str]:
    """How to have it again, and with what this was written."""
    yield heading("To repeat it")
    yield code("\n".join(_commands(study)))
    if study.spec:
        yield hidden(f"The study file, {study.name}.yaml", code(dump(study.spec, "yaml")))
    yield paragraph(
        f"Written {study.taken:%Y-%m-%d %H:%M} from {study.results.storage.safe_url} by {_versions()}.", "soft"
    )


def _commands(study: Snapshot) -> Iterator[str]:
    name = study.name
    if study.spec:
        yield study.command("start", f"{name}.yaml")
    found = study.confirmation
    if found is not None:
        yield study.command("confirm", name, "--top", str(len(found.candidates)), "--seeds", str(found.seeds))
    yield study.command("show", name, str(study.chosen.number))
    if study.chosen.attributes.get(attributes.NETWORK_PARAMETERS):
        yield study.command("keep", name, "--trial", str(study.chosen.number))
        if found is not None and found.together:
            yield study.command(*found.keeping_together())
    yield study.command("report", name, "--force")


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    told = []
    for package in ("tuner", "optuna", "torch"):
        try:
            told.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return ", ".join(told)


ALL: Sequence[Section] = (head, best_trials, search, chosen_trial, confirmation, failures, foot)
