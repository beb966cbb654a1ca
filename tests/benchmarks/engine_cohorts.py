"""How much faster sixteen networks are trained as a cohort than one after the other with autograd and torch.optim.

    python tests/benchmarks/engine_cohorts.py [--rounds N]

Both train the same networks (64 inputs, 10 classes) with Adam on the same batches, which both slice from tensors that
are in memory, on one thread. They take turns, an epoch each, and the shortest epoch of each counts, so that what else
the machine does weighs on both alike.
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


@dataclass(frozen=True)
class Case:
    """Networks of one shape, and how many times faster than the plain way their cohort should be."""

    width: int
    depth: int
    batch: int
    target: float

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return SAMPLES // self.batch

    @property
    def flops(self) -> int:
        """Of one step of one member: forward, weights' gradient, and inputs' gradient but in the first layer."""
        widths = [INPUTS, *[self.width] * self.depth, CLASSES]
        weights = [a * b for a, b in pairwise(widths)]
        return 2 * self.batch * (3 * sum(weights) - weights[0])


CASES = [Case(32, 2, 16, 12.0), Case(64, 3, 32, 8.0), Case(128, 3, 32, 4.0), Case(256, 3, 64, 1.5)]
CASES += [Case(512, 3, 64, 1.0), Case(1024, 3, 64, 1.0)]


def dataset() -> Dataset:
    """Noise: what is learned does not matter here."""
    part = Part(inputs=(torch.randn(SAMPLES, INPUTS),), targets=torch.randint(CLASSES, (SAMPLES,)))
    few = Part(inputs=(part.inputs[0][:16],), targets=part.targets[:16])
    return Dataset(training=part, validation=few)


def plain(case: Case, data: Dataset, *, fused: bool) -> Callable[[], float]:
    """Return what trains one network an epoch the plain way and returns its loss."""
    module = MLP(inputs=INPUTS, outputs=CLASSES, hidden=[case.width] * case.depth)
    optimizer = torch.optim.Adam(module.parameters(), lr=RATE, fused=fused, foreach=not fused)
    criterion = nn.CrossEntropyLoss()
    inputs, targets = data.training.inputs[0], data.training.targets

    def epoch() -> float:
        rows = order(0, 0, SAMPLES)
        x, y = inputs[rows], targets[rows]
        total = torch.zeros(())
        for start in range(0, SAMPLES, case.batch):
            optimizer.zero_grad()
            loss: Tensor = criterion(module(x[start : start + case.batch]), y[start : start + case.batch])
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.detach()
        return total.item()

    return epoch


def cohort(case: Case, data: Dataset, members: int) -> Callable[[], object]:
    """Return what trains so many networks an epoch as a cohort."""
    together = Cohort(data)
    for number in range(members):
        recipe = Recipe(
            epochs=10**6, seed=number, batch_size=case.batch, optimizer="adam", learning_rate=RATE * (1 + number / 9)
        )
        together.join(
            Member.build(
                number=number,
                recipe=recipe,
                network=lambda: MLP(inputs=INPUTS, outputs=CLASSES, hidden=[case.width] * case.depth),
                loss=CrossEntropy(),
            )
        )
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


def main() -> None:
    """Print one line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    data, gemm = dataset(), peak()
    print(f"microseconds a step and member; GEMM peak {gemm / 1e9:.0f} GFLOP/s")
    print("width × depth, batch   foreach   fused   alone   cohort   faster (target)   than fused   GFLOP/s (of peak)")
    for case in CASES:
        work: dict[str, Callable[[], object]] = {
            "foreach": plain(case, data, fused=False),
            "fused": plain(case, data, fused=True),
            "alone": cohort(case, data, 1),
            "cohort": cohort(case, data, MEMBERS),
        }
        times = shortest(work, rounds if case.width < 512 else max(2, rounds // 4))
        times["cohort"] /= MEMBERS
        step = {name: seconds / case.steps * 1e6 for name, seconds in times.items()}
        rate = case.flops / (times["cohort"] / case.steps)
        shape = f"{case.width} × {case.depth}, {case.batch}"
        print(
            f"{shape:<22} {step['foreach']:7.0f} {step['fused']:7.0f} {step['alone']:7.0f} {step['cohort']:8.0f}"
            f"   {step['foreach'] / step['cohort']:5.1f}x ({case.target:g}x)"
            f"   {step['fused'] / step['cohort']:8.1f}x   {rate / 1e9:10.0f} ({rate / gemm:.0%})",
            flush=True,
        )


if __name__ == "__main__":
    main()
