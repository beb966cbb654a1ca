"""Small data, members and a plain training loop to compare with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tuner.training import MLP, Cohort, CrossEntropy, Dataset, EpochResult, Loss, Member, Part, Recipe
from tuner.training.fusion import Fusion


@dataclass(frozen=True)
class Accuracy:
    """The share of samples whose largest output is that of their class."""

    name: str = "accuracy"
    direction: str = "maximize"

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        assert bool(torch.isfinite(outputs).all())
        return (outputs.argmax(-1) == targets).double().mean(1)


def blobs(samples: int = 44, *, validation: int = 20, dtype: torch.dtype = torch.float64) -> Dataset:
    """Three overlapping clouds of points in five dimensions."""
    generator = torch.Generator().manual_seed(5)
    targets = torch.randint(3, (samples + validation,), generator=generator)
    centres = torch.randn(3, 5, generator=generator, dtype=dtype)
    inputs = centres[targets] + 1.5 * torch.randn(len(targets), 5, generator=generator, dtype=dtype)
    return Dataset(
        training=Part(inputs=(inputs[:samples],), targets=targets[:samples]),
        validation=Part(inputs=(inputs[samples:],), targets=targets[samples:]),
    )


def recipe(**changes: Any) -> Recipe:
    """A recipe for a few quick epochs."""
    settings: dict[str, Any] = {"epochs": 5, "seed": 1, "batch_size": 8, "optimizer": "adam", "learning_rate": 0.01}
    return Recipe(**(settings | changes))


def mlp(dtype: torch.dtype = torch.float64, **changes: Any) -> MLP:
    """A network for the blobs."""
    settings: dict[str, Any] = {"inputs": 5, "outputs": 3, "hidden": (7, 6), "activation": "tanh"}
    return MLP(**(settings | changes)).to(dtype)


def member(
    number: int = 0,
    *,
    network: Callable[[], nn.Module] = mlp,
    loss: Loss | None = None,
    dataset: Dataset | None = None,
    **changes: Any,
) -> Member:
    """A member whose seed is its number, so that no two are alike, unless told otherwise."""
    changes.setdefault("seed", number)
    return Member.build(
        number=number, recipe=recipe(**changes), network=network, loss=loss or CrossEntropy(), dataset=dataset
    )


def groups(members: list[Member]) -> list[list[Member]]:
    """How the members would be fused."""
    return Fusion(blobs(), torch.device("cpu")).groups(members)


def train(members: list[Member], dataset: Dataset | None = None) -> dict[int, list[EpochResult]]:
    """Train the members as one cohort to the end; return their curves by number."""
    cohort = Cohort(dataset or blobs(), [Accuracy()])
    for one in members:
        cohort.join(one)
    curves: dict[int, list[EpochResult]] = {one.number: [] for one in members}
    while len(cohort):
        for result in cohort.epoch():
            curves[result.number].append(result)
    return curves


def curve(results: list[EpochResult]) -> Tensor:
    """All numbers of a curve that do not depend on the clock, ``[epochs, K]``."""
    return torch.tensor(
        [
            (
                r.epoch,
                r.training_loss,
                r.validation_loss,
                r.learning_rate,
                *r.metrics.values(),
                r.best_epoch,
                r.stopped,
                r.finished,
                r.diverged,
                r.improved,
            )
            for r in results
        ],
        dtype=torch.float64,
    )


def assert_same(one: Member, results: list[EpochResult], other: Member, others: list[EpochResult]) -> None:
    """Two members learned the same: curves, last and best weights, to floating-point rounding."""
    torch.testing.assert_close(curve(results), curve(others), rtol=1e-9, atol=1e-11, equal_nan=True)
    assert one.row.keys() == other.row.keys()
    different = [n for n, v in one.row.items() if not torch.allclose(v, other.row[n], 1e-8, 1e-10, equal_nan=True)]
    assert not different, f"these differ: {different}"
    for parameter, same in zip(one.module.parameters(), other.module.parameters(), strict=True):
        torch.testing.assert_close(parameter, same, rtol=1e-8, atol=1e-10, equal_nan=True)
