"""The metrics by name: what each measures, which way is better and for which task. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from tuner.errors import UsageError
from tuner.sections import nearest

if TYPE_CHECKING:
    from torch import Tensor

Task = Literal["classification", "regression", "sequence"]
Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A score of a network's outputs against the targets.

    Called with ``outputs`` and ``targets`` it returns one score a member, ``[M]``: NaN for a member whose
    outputs hold a NaN.

    Shape:
        - classification: outputs ``[M, N, C]`` logits, targets ``[N]`` or ``[M, N]`` class indices;
        - regression: outputs ``[M, N, T]``, targets ``[N, T]`` or ``[M, N, T]``, in the data's own units;
          the last axis of the targets may be left out when it is 1;
        - sequence: outputs ``[M, N, T, V]`` logits of each next token, targets ``[N, T]`` or ``[M, N, T]`` token
          numbers; negative ones are padding, or not asked for, and count for nothing.
    """

    name: str
    task: Task
    direction: Direction
    description: str
    aliases: tuple[str, ...] = ()

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        from tuner.scores import score

        return score(self.name, outputs, targets)

    @property
    def additive(self) -> bool:
        """Whether the score follows from two sums over the samples, so that it can be had chunk by chunk."""
        return self.task == "sequence"

    def sums(self, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two ``[M]`` sums of an additive metric: of two chunks of samples, they add up."""
        from tuner.scores import sums

        return sums(self.name, outputs, targets)

    def from_sums(self, over: Tensor, under: Tensor) -> Tensor:
        """Return the ``[M]`` scores that sums come to; NaN where nothing was asked for."""
        from tuner.scores import from_sums

        return from_sums(self.name, over, under)

    def better(self, one: float, other: float) -> bool:
        """Whether ``one`` is strictly better than ``other``; NaN is never better."""
        return one > other if self.direction == "maximize" else one < other


def get(name: str, *, task: Task | None = None) -> Metric:
    """Return the metric called ``name`` (or one of its aliases), for ``task`` if given.

    Raises:
        UsageError: for an unknown name, with the nearest one, and for a metric of the other task.
    """
    wanted = name.strip().lower().replace("-", "_").replace(" ", "_")
    metric = _BY_NAME.get(wanted)
    averaged = ("_macro", "_micro", "_weighted")
    known = [n for n in metric_names(task) if not n.endswith(averaged)]
    if metric is None:
        hint = nearest(wanted, [n for n, m in _BY_NAME.items() if task in (None, m.task)])
        raise UsageError(f"unknown metric '{name}'{hint or '; known: ' + ', '.join(known)}")
    if task is not None and metric.task != task:
        raise UsageError(
            f"metric '{name}' is for {metric.task}, but the task is {task}; choose one of: {', '.join(known)}"
        )
    return metric


def metric_names(task: Task | None = None) -> list[str]:
    """Return the names of all metrics, or of those for ``task``."""
    return [metric.name for metric in METRICS if task in (None, metric.task)]


def default_metric(task: Task) -> Metric:
    """Return the metric that is tuned when a study names none."""
    return _BY_NAME[{"classification": "accuracy", "regression": "rmse", "sequence": "token_accuracy"}[task]]


def _classification(name: str, description: str, *aliases: str, direction: Direction = "maximize") -> Iterable[Metric]:
    yield Metric(name=name, task="classification", direction=direction, description=description, aliases=aliases)


def _averaged(name: str, description: str, *aliases: str, direction: Direction = "maximize") -> Iterable[Metric]:
    """A metric of one class against the rest: of the positive class when there are two, else averaged."""
    binary = f"{description}; of the second class when there are two, else the macro average"
    yield from _classification(name, binary, *aliases, direction=direction)
    for average, meaning in (
        ("macro", "the plain mean over the classes"),
        ("micro", "all classes counted together"),
        ("weighted", "the mean over the classes, weighted by their size"),
    ):
        yield from _classification(f"{name}_{average}", f"{description}; {meaning}", direction=direction)


def _regression(name: str, description: str, *aliases: str, direction: Direction = "minimize") -> Iterable[Metric]:
    text = f"{description}; the mean over several targets"
    yield Metric(name=name, task="regression", direction=direction, description=text, aliases=aliases)


def _sequence(name: str, description: str, *aliases: str, direction: Direction = "maximize") -> Iterable[Metric]:
    text = f"{description}; each token is foretold from the right ones before it"
    yield Metric(name=name, task="sequence", direction=direction, description=text, aliases=aliases)


METRICS: tuple[Metric, ...] = (
    *_classification("accuracy", "share of rows whose class is right", "acc"),
    *_classification("balanced_accuracy", "mean over the classes of the share found", "balanced_acc", "bacc"),
    *_averaged("precision", "share of the rows called a class that are of it", "ppv"),
    *_averaged("recall", "share of the rows of a class that are found", "sensitivity", "tpr"),
    *_averaged(
        "fpr",
        "share of the rows of other classes that are called this one",
        "false_positive_rate",
        direction="minimize",
    ),
    *_averaged("f1", "harmonic mean of precision and recall", "f1_score", "f_score"),
    *_classification(
        "roc_auc",
        "area under the ROC curve; one class against the rest, averaged, when there are more than two",
        "auc",
        "auroc",
        "rocauc",
    ),
    *_classification("log_loss", "mean negative log likelihood of the right class", "logloss", direction="minimize"),
    *_regression("rmse", "root of the mean squared error", "root_mean_squared_error"),
    *_regression("mse", "mean squared error", "mean_squared_error"),
    *_regression("mae", "mean absolute error", "mean_absolute_error"),
    *_regression("r2", "share of the variance explained", "r2_score", "r_squared", direction="maximize"),
    *_regression("median_absolute_error", "median of the absolute errors", "medae"),
    *_sequence("token_accuracy", "share of the tokens that are foretold"),
    *_sequence("exact_match", "share of the sequences of which every token is foretold"),
    *_sequence("edit_distance", "edits that mend what is foretold, a token", "levenshtein", direction="minimize"),
    *_sequence("perplexity", "exponential of the mean negative log likelihood of a token", "ppl", direction="minimize"),
)

_BY_NAME = {name: metric for metric in METRICS for name in (metric.name, *metric.aliases)}
