"""How much faster sixteen networks are trained as a cohort than one after the other with autograd and torch.optim.

    python tests/benchmarks/engine_cohorts.py [--rounds N]

First multilayer perceptrons, whose gradients are written out, then other modules, which are fused by vmap where a trial
shows that it pays. Both ways train the same networks (64 inputs, 10 classes) with Adam on the same batches, which both
slice from tensors that are in memory, on one thread. They take turns, an epoch each, and the shortest epoch of each
counts, so that what else the machine does weighs on both alike.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from tuner.training import MLP, Cohort, CrossEntropy, Dataset, Member, Part, Recipe
from tuner.training.randomness import order

MEMBERS, SAMPLES, INPUTS, CLASSES, RATE = 16, 1024, 64, 10, 1e-4


Make = Callable[[], nn.Module]


@dataclass(frozen=True)
class Case:
    """Networks of one shape, and how many times faster than the plain way their cohort should be."""

    width: int
    depth: int
    batch: int
    target: float

    def network(self) -> nn.Module:
        """Return a new network."""
        return MLP(inputs=INPUTS, outputs=CLASSES, hidden=[self.width] * self.depth)

    @property
    def flops(self) -> int:
        """Of one step of one member: forward, weights' gradient, and inputs' gradient but in the first layer."""
        widths = [INPUTS, *[self.width] * self.depth, CLASSES]
        weights = [a * b for a, b in pairwise(widths)]
        return 2 * self.batch * (3 * sum(weights) - weights[0])


CASES = [Case(32, 2, 16, 12.0), Case(64, 3, 32, 8.0), Case(128, 3, 32, 4.0), Case(256, 3, 64, 1.5)]
CASES += [Case(512, 3, 64, 1.0), Case(1024, 3, 64, 1.0)]


class Residual(nn.Module):
    """Two layers with a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(INPUTS, 64)
        self.second = nn.Linear(64, 64)
        self.out = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        output: Tensor = self.out(x + torch.relu(self.second(x)))
        return output


class Convolutional(nn.Sequential):
    """Two convolutions on images of 8 × 8."""

    def __init__(self) -> None:
        shrink = [nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU()]
        super().__init__(nn.Unflatten(1, (1, 8, 8)), *shrink, nn.Flatten(), nn.Linear(256, CLASSES))


class Attentive(nn.Module):
    """One transformer layer over eight words of eight numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 32)
        self.attend = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
        self.out = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.out(self.attend(self.embed(x.view(-1, 8, 8))).mean(1))
        return output


def dataset() -> Dataset:
    """Noise: what is learned does not matter here."""
    part = Part(inputs=(torch.randn(SAMPLES, INPUTS),), targets=torch.randint(CLASSES, (SAMPLES,)))
    few = Part(inputs=(part.inputs[0][:16],), targets=part.targets[:16])
    return Dataset(training=part, validation=few)


def plain(make: Make, batch: int, data: Dataset, *, fused: bool, device: str = "cpu") -> Callable[[], float]:
    """Return what trains one network an epoch the plain way and returns its loss."""
    module = make().to(device)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=fused, foreach=not fused)
    criterion = nn.CrossEntropyLoss()
    inputs, targets = data.training.inputs[0].to(device), data.training.targets.to(device)

    def epoch() -> float:
        rows = order(0, 0, SAMPLES).to(device)
        x, y = inputs[rows], targets[rows]
        total = torch.zeros((), device=device)
        for start in range(0, SAMPLES, batch):
            optimizer.zero_grad()
            loss: Tensor = criterion(module(x[start : start + batch]), y[start : start + batch])
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.detach()
        return total.item()

    return epoch


def cohort(make: Make, batch: int, data: Dataset, members: int) -> Callable[[], object]:
    """Return what trains so many networks an epoch as a cohort."""
    together = Cohort(data)
    for number in range(members):
        rate = RATE * (1 + number / 9)
        recipe = Recipe(epochs=10**6, seed=number, batch_size=batch, optimizer="adam", learning_rate=rate)
        together.join(Member.build(number=number, recipe=recipe, network=make, loss=CrossEntropy()))
    return together.epoch


def shortest(work: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Let all take turns; return the shortest time of each."""
    times = dict.fromkeys(work, float("inf"))
    for turn in range(rounds + 1):
        for name, one in work.items():
            started = time.perf_counter()
            one()
            if turn:  # the first turn warms up
                times[name] = min(times[name], time.perf_counter() - started)
    return times


def peak() -> float:
    """Return the floating-point operations a second of a large matrix product."""
    left, right, out = (torch.ones(1024, 1024) for _ in range(3))
    return 2.0 * 1024**3 / shortest({"gemm": lambda: torch.mm(left, right, out=out)}, 8)["gemm"]


def compare(make: Make, batch: int, data: Dataset, rounds: int) -> dict[str, float]:
    """Return the microseconds of a step and member, the plain ways and as a cohort."""
    work: dict[str, Callable[[], object]] = {
        "foreach": plain(make, batch, data, fused=False),
        "fused": plain(make, batch, data, fused=True),
        "alone": cohort(make, batch, data, 1),
        "cohort": cohort(make, batch, data, MEMBERS),
    }
    times = shortest(work, rounds)
    times["cohort"] /= MEMBERS
    return {name: seconds / (SAMPLES // batch) * 1e6 for name, seconds in times.items()}


def main() -> None:
    """Print one line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    data, gemm = dataset(), peak()
    print(f"microseconds a step and member; GEMM peak {gemm / 1e9:.0f} GFLOP/s")
    heads = (
        "network, batch",
        "foreach",
        "fused",
        "alone",
        "cohort",
        "faster (target)",
        "than fused",
        "GFLOP/s (of peak)",
    )
    print("{:<22} {:>7} {:>7} {:>7} {:>8}   {:<15}   {:>10}   {:>17}".format(*heads))
    for case in CASES:
        step = compare(case.network, case.batch, data, rounds if case.width < 512 else max(2, rounds // 4))
        rate = case.flops / step["cohort"] / 1e3
        reached = f"{rate:.0f} ({rate * 1e9 / gemm:.0%})"
        print(f"{line(f'{case.width} × {case.depth}, {case.batch}', step, case.target)}   {reached:>17}", flush=True)
    for kind in (Residual, Convolutional, Attentive):
        print(line(f"{kind.__name__}, 32", compare(kind, 32, data, max(2, rounds // 2)), 1.0), flush=True)


def line(name: str, step: dict[str, float], target: float) -> str:
    """Return the columns that all networks have."""
    faster = f"{step['foreach'] / step['cohort']:.1f}x ({target:g}x)"
    than_fused = f"{step['fused'] / step['cohort']:.1f}x"
    columns = f"{step['foreach']:7.0f} {step['fused']:7.0f} {step['alone']:7.0f} {step['cohort']:8.0f}"
    return f"{name:<22} {columns}   {faster:<15}   {than_fused:>10}"


if __name__ == "__main__":
    main()
