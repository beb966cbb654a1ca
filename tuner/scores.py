"""The arithmetic of the metrics, on torch, for all members at once; ``tuner.metrics`` has their names.

Each agrees with scikit-learn's function of the same name, with ``zero_division=0``; but ``log_loss``, of logits, takes
probabilities near 0 as they are, where scikit-learn rounds them up, and ``roc_auc`` tells those near 1 apart.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tuner.edits import edit_distances


def score(name: str, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the ``[M]`` scores of metric ``name``; see ``tuner.metrics.Metric`` for the shapes.

    Raises:
        ValueError: when the shapes do not fit.
    """
    if name in _SEQUENCE:
        values = from_sums(name, *sums(name, outputs, targets))
        return torch.where(outputs.isnan().flatten(1).any(1), torch.nan, values)
    regression = name in _REGRESSION
    if regression and outputs.shape[-1] == 1 and targets.shape in (outputs.shape[:2], outputs.shape[1:2]):
        targets = targets.unsqueeze(-1)
    _check_shapes(outputs, targets, regression=regression)
    if regression:
        values = _REGRESSION[name](_exact(outputs), _exact(targets).expand_as(outputs))
    elif name in _PROBABILISTIC:
        values = _PROBABILISTIC[name](outputs, targets.expand(outputs.shape[:2]))
    else:
        base, _, average = name.partition("_")
        matrix = confusion_matrix(outputs, targets)
        values = _COUNTED[name](matrix) if name in _COUNTED else _one_against_rest(base, average, matrix)
    return torch.where(outputs.isnan().flatten(1).any(1), torch.nan, values)


def sums(name: str, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return the two ``[M]`` sums over the samples that make a sequence metric's score.

    Raises:
        ValueError: when the shapes do not fit.
    """
    if outputs.ndim != 4 or targets.shape not in (outputs.shape[:3], outputs.shape[1:3]):
        shapes = f"got outputs {list(outputs.shape)} and targets {list(targets.shape)}"
        raise ValueError(f"expected outputs [M, N, T, V] and targets [N, T] or [M, N, T]; {shapes}")
    return _SEQUENCE[name](outputs, targets.expand(outputs.shape[:3]))


def from_sums(name: str, over: Tensor, under: Tensor) -> Tensor:
    """Return the ``[M]`` scores of a sequence metric; NaN where there was nothing to score."""
    mean = _exact(over) / _exact(under)
    return mean.exp() if name == "perplexity" else mean


def confusion_matrix(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return how many rows of each class (row) were called each class (column).

    Shape:
        outputs ``[M, N, C]`` logits, targets ``[N]`` or ``[M, N]`` → ``[M, C, C]`` whole numbers.
    """
    members, _, classes = outputs.shape
    cells = targets.expand(outputs.shape[:2]) * classes + outputs.argmax(-1)
    counts = torch.zeros(members, classes * classes, dtype=torch.long, device=outputs.device)
    counts.scatter_add_(1, cells, torch.ones_like(cells))
    return counts.view(members, classes, classes)


def _check_shapes(outputs: Tensor, targets: Tensor, *, regression: bool) -> None:
    expected = outputs.shape if regression else outputs.shape[:2]
    if outputs.ndim != 3 or targets.shape not in (expected, expected[1:]):
        kind = "[N, T] or [M, N, T]" if regression else "[N] or [M, N]"
        shapes = f"got outputs {list(outputs.shape)} and targets {list(targets.shape)}"
        raise ValueError(f"expected outputs [M, N, {'T' if regression else 'C'}] and targets {kind}; {shapes}")


def _exact(values: Tensor) -> Tensor:
    """In double precision, where the device has it."""
    return values.float() if values.device.type == "mps" else values.double()


def _ratio(over: Tensor, under: Tensor) -> Tensor:
    """``over / under``, and 0 where ``under`` is 0."""
    return torch.where(under == 0, 0.0, _exact(over) / _exact(under.clamp(min=1)))


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over the last axis of the values under the mask; NaN where there is none."""
    return torch.where(mask, values, 0.0).sum(-1) / mask.sum(-1)


def _accuracy(matrix: Tensor) -> Tensor:
    return _ratio(matrix.diagonal(dim1=1, dim2=2).sum(-1), matrix.sum((1, 2)))


def _balanced_accuracy(matrix: Tensor) -> Tensor:
    support = matrix.sum(2)
    return _mean_where(_ratio(matrix.diagonal(dim1=1, dim2=2), support), support > 0)


def _one_against_rest(base: str, average: str, matrix: Tensor) -> Tensor:
    right = matrix.diagonal(dim1=1, dim2=2)
    called, support = matrix.sum(1), matrix.sum(2)
    parts = {
        "precision": (right, called),
        "recall": (right, support),
        "fpr": (called - right, matrix.sum((1, 2)).unsqueeze(1) - support),
        "f1": (2 * right, called + support),
    }
    over, under = parts[base]
    occurs = called + support > 0  # as in scikit-learn: a class that is on neither side does not count
    if average == "micro":
        return _ratio(over.sum(1), (under * occurs).sum(1))
    values = _ratio(over, under)
    if average == "weighted":
        return _ratio(torch.ones_like(called.sum(1)), support.sum(1)) * (values * support).sum(1)
    if not average and matrix.shape[-1] == 2:
        return values[:, 1]
    return _mean_where(values, occurs)


def _log_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    chosen = _exact(outputs).log_softmax(-1).gather(-1, targets.unsqueeze(-1))
    return -chosen.squeeze(-1).mean(1)


def _roc_auc(outputs: Tensor, targets: Tensor) -> Tensor:
    """By the rank sum; tied scores share their mean rank. Classes with no rows, or with all, are left out."""
    classes = outputs.shape[-1]
    if classes == 2:
        scores = (outputs[..., 1] - outputs[..., 0]).unsqueeze(1)
        positive = (targets == 1).unsqueeze(1)
    else:
        scores = _exact(outputs).softmax(-1).transpose(1, 2)
        positive = targets.unsqueeze(1) == torch.arange(classes, device=targets.device).view(1, -1, 1)
    scores = scores.contiguous()
    ordered = scores.sort(-1).values
    below = torch.searchsorted(ordered, scores)
    upto = torch.searchsorted(ordered, scores, right=True)
    ranks = _exact(below + upto + 1) / 2
    positives = positive.sum(-1)
    negatives = positive.shape[-1] - positives
    rank_sum = torch.where(positive, ranks, 0.0).sum(-1)
    area = _ratio(rank_sum - _exact(positives * (positives + 1)) / 2, positives * negatives)
    return _mean_where(area, (positives > 0) & (negatives > 0))


def _r2(outputs: Tensor, targets: Tensor) -> Tensor:
    residual = (targets - outputs).square().sum(1)
    total = (targets - targets.mean(1, keepdim=True)).square().sum(1)
    perfect = torch.where(residual == 0, 1.0, 0.0)
    return torch.where(total == 0, perfect, 1 - residual / torch.where(total == 0, 1.0, total)).mean(1)


def _median_absolute_error(outputs: Tensor, targets: Tensor) -> Tensor:
    errors = (targets - outputs).abs().sort(1).values
    count = errors.shape[1]
    return ((errors[:, (count - 1) // 2] + errors[:, count // 2]) / 2).mean(1)


def _token_accuracy(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    right, asked = (
        outputs.argmax(-1) == targets,
        targets >= 0,
    )  # no token is negative, so what is not asked is not right
    return right.sum((1, 2)), asked.sum((1, 2))


def _exact_match(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    asked = targets >= 0
    right = (outputs.argmax(-1) == targets) | ~asked
    some = asked.any(-1)
    return (right.all(-1) & some).sum(1), some.sum(1)


def _edit_distance(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    asked = targets >= 0
    order = (~asked).to(torch.uint8).argsort(stable=True, dim=-1)  # what is asked for goes to the front
    said, wanted = (tokens.gather(-1, order).flatten(0, 1) for tokens in (outputs.argmax(-1), targets))
    lengths = asked.sum(-1)
    edits = edit_distances(said, lengths.flatten(), wanted, lengths.flatten())
    return edits.view(lengths.shape).sum(1), lengths.sum(1)


def _surprise(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    asked = targets >= 0
    chosen = outputs.log_softmax(-1).gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
    return -_exact(torch.where(asked, chosen, 0.0)).sum((1, 2)), asked.sum((1, 2))


_SEQUENCE: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "token_accuracy": _token_accuracy,
    "exact_match": _exact_match,
    "edit_distance": _edit_distance,
    "perplexity": _surprise,
}
_COUNTED: dict[str, Callable[[Tensor], Tensor]] = {
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
}
_PROBABILISTIC: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"log_loss": _log_loss, "roc_auc": _roc_auc}
_REGRESSION: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "rmse": lambda o, t: (t - o).square().mean(1).sqrt().mean(1),
    "mse": lambda o, t: (t - o).square().mean((1, 2)),
    "mae": lambda o, t: (t - o).abs().mean((1, 2)),
    "r2": _r2,
    "median_absolute_error": _median_absolute_error,
}
