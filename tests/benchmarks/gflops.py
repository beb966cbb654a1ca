"""How many of the machine's floating-point operations the engine's MLP step uses, and where the rest of its time goes.

    python -m tests.benchmarks.gflops [--device cpu|cuda] [--seconds S]

One member and 16 as one network (whether or not the engine would fuse them), three hidden layers, Adam with L1 and L2,
on one thread. The peak is that of a large matrix product in float32. A step's time is divided into

- the matrix products, measured by themselves at the step's own shapes: what they lose against the peak is lost to their
  size and to memory;
- the update: penalties and optimizer, which pass through weights, gradient and state in memory;
- the rest: activations, loss, bias sums, and the calls of it all.

On the CPU, time is the thread's CPU time: what else the machine does weighs less on it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch

from tests.benchmarks.engine_cohorts import CLASSES, INPUTS, dataset
from tuner.training import MLP, CrossEntropy, Dataset, Member, Recipe
from tuner.training.stack import Stack

BATCH, DEPTH, COHORT = 64, 3, 16
WIDTHS = (32, 64, 128, 256, 512, 1024)
FEWEST = 4
"""Times that the work is measured, of which the shortest counts."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """Seconds of one step of all members."""

    whole: float
    products: float
    update: float


class Clock:
    """Measures work on a device: for a while, and at least a few times."""

    def __init__(self, device: torch.device, seconds: float) -> None:
        self.device = device
        self.seconds = seconds
        self._now = time.perf_counter if device.type == "cuda" else time.thread_time

    def __call__(self, work: Callable[[], object], repeats: int = 1) -> float:
        """Return the shortest time of the work, done so many times in a row, each."""
        self._wait()
        work()
        shortest, turn, began = float("inf"), 0, time.perf_counter()
        while turn < FEWEST or time.perf_counter() - began < self.seconds:
            self._wait()
            started = self._now()
            for _ in range(repeats):
                work()
            self._wait()
            shortest = min(shortest, (self._now() - started) / repeats)
            turn += 1
        return shortest

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def widths(width: int) -> list[int]:
    """Return the widths of all layers, the inputs first."""
    return [INPUTS, *[width] * DEPTH, CLASSES]


def flops(width: int) -> int:
    """Return the operations of a step and member: forward, weights' slopes, and inputs' but in the first layer."""
    weights = [a * b for a, b in pairwise(widths(width))]
    return 2 * BATCH * (3 * sum(weights) - weights[0])


def peak(clock: Clock, device: torch.device) -> float:
    """Return the operations a second of a large matrix product."""
    size = 8192 if device.type == "cuda" else 1024
    left, right, out = (torch.ones(size, size, device=device) for _ in range(3))
    return 2.0 * size**3 / clock(lambda: torch.mm(left, right, out=out))


def products(width: int, members: int, device: torch.device) -> Callable[[], None]:
    """Return what does a step's matrix products and nothing else."""
    layers = []
    for number, (below, above) in enumerate(pairwise(widths(width))):
        x = torch.ones(members, BATCH, below, device=device)
        weight = torch.ones(members, above, below, device=device)
        slope = torch.ones(members, BATCH, above, device=device)
        outs = torch.empty_like(slope), torch.empty_like(weight), torch.empty_like(x)
        layers.append((number, x, weight, slope, outs))

    def work() -> None:
        for number, x, weight, slope, (output, weight_slope, input_slope) in layers:
            torch.bmm(x, weight.mT, out=output)
            torch.bmm(slope.mT, x, out=weight_slope)
            if number:
                torch.bmm(slope, weight, out=input_slope)

    return work


def measure(width: int, members: int, data: Dataset, device: torch.device, clock: Clock) -> Step:
    """Measure a step and its parts."""

    def member(number: int) -> Member:
        recipe = Recipe(
            epochs=10**6, seed=number, batch_size=BATCH, optimizer="adam", learning_rate=1e-5, l1=1e-6, l2=1e-6
        )
        hidden = [width] * DEPTH
        return Member.build(
            number=number,
            recipe=recipe,
            network=lambda: MLP(inputs=INPUTS, outputs=CLASSES, hidden=hidden),
            loss=CrossEntropy(),
        )

    stack = Stack([member(number) for number in range(members)], data, device)
    stack.begin(1)
    rows = torch.arange(BATCH)
    inputs = tuple(x.to(device).expand(members, *x.shape) for x in data.training.gather(rows))
    targets = data.training.targets[rows].to(device).expand(members, BATCH)
    prepared = stack.network.prepare(targets.unsqueeze(0))[0]

    def step() -> None:
        stack.network.forward_backward(inputs, prepared)
        stack.step(0)

    repeats = max(1, min(100, 10**8 // (members * flops(width))))
    with torch.inference_mode(), stack.network.epoch([0] * members):
        return Step(
            whole=clock(step, repeats),
            products=clock(products(width, members, device), repeats),
            update=clock(lambda: stack.step(0), repeats),
        )


def main() -> None:
    """Print one line for each width and number of members."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seconds", type=float, default=1.0, help="how long each number is measured")
    asked = parser.parse_args()
    device = torch.device(asked.device)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("highest")
    clock = Clock(device, asked.seconds)
    data, gemm = dataset(), peak(clock, device)
    print(f"{device}: GEMM peak {gemm / 1e9:.0f} GFLOP/s; {DEPTH} hidden layers, batches of {BATCH}")
    print("| width | members | µs a step and member | GFLOP/s | of peak | products | their GFLOP/s | update | rest |")
    print("|---|---|---|---|---|---|---|---|---|")
    for width in WIDTHS:
        for members in (1, COHORT):
            step = measure(width, members, data, device, clock)
            work = members * flops(width)
            rest = max(0.0, step.whole - step.products - step.update)
            shares = [f"{part / step.whole:.0%}" for part in (step.products, step.update, rest)]
            speed = work / step.whole
            cells = [width, members, f"{step.whole / members * 1e6:.0f}", f"{speed / 1e9:.1f}", f"{speed / gemm:.0%}"]
            cells += [shares[0], f"{work / step.products / 1e9:.1f}", *shares[1:]]
            print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
