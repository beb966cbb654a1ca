"""How much faster a GPU trains networks as a cohort than one after the other, and how large a cohort is of use.

    python -m tests.benchmarks.gpu_cohorts [--device cuda] [--most N] [--rounds N] [--precision P]

A multilayer perceptron of a table, a small CNN and a small Transformer. One after the other means autograd,
torch.optim (foreach Adam) and batches sliced from tensors that are on the device too. Cohorts grow by powers of two
until a member's share of the time falls no further, or memory runs out. The first member's losses are compared with
those of the same member trained alone. ``--device cpu --most 4 --rounds 1`` is a check that all of it runs.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tests.benchmarks.engine_cohorts import CLASSES, INPUTS, RATE, Attentive, Convolutional, Make, dataset, plain
from tuner.training import MLP, Cohort, CrossEntropy, Dataset, Member, Recipe

BATCH = 32
GAIN = 0.95
"""A cohort twice as large is of use if a member's share of the time falls at least to this part."""
TOLERANCES = {"float32": 1e-3, "bfloat16": 5e-2, "float16": 2e-2}
EPOCHS_COMPARED = 3


def perceptron() -> nn.Module:
    """Return a network for a table."""
    return MLP(inputs=INPUTS, outputs=CLASSES, hidden=[64, 64, 64])


CASES: dict[str, tuple[Make, float]] = {
    "table, MLP": (perceptron, 50.0),
    "small CNN": (Convolutional, 15.0),
    "small Transformer": (Attentive, 15.0),
}
"""What makes a network, and how many times faster its cohort should be."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What a cohort of one size came to."""

    members: int
    seconds: float
    """Of an epoch and a member."""
    networks: int
    """As so many networks the engine chose to train them."""
    memory: int
    """The most bytes in use on the device; 0 where torch does not count them."""


def member(make: Make, number: int, precision: str) -> Member:
    """Return a member of a cohort."""
    rate = RATE * (1 + number % 16 / 9)
    recipe = Recipe(
        epochs=10**6, seed=number, batch_size=BATCH, optimizer="adam", learning_rate=rate, precision=precision
    )
    return Member.build(number=number, recipe=recipe, network=make, loss=CrossEntropy())


def cohort(make: Make, data: Dataset, members: int, device: torch.device, precision: str) -> Cohort:
    """Return so many members, ready to be trained."""
    together = Cohort(data, device=device)
    for number in range(members):
        together.join(member(make, number, precision))
    return together


def shortest(work: Callable[[], object], device: torch.device, rounds: int) -> float:
    """Return the shortest time of the work in a few rounds; the first one warms up."""
    best = float("inf")
    for turn in range(rounds + 1):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        if turn:
            best = min(best, time.perf_counter() - started)
    return best


def reach(make: Make, data: Dataset, members: int, device: torch.device, rounds: int, precision: str) -> Reached | None:
    """Train a cohort of one size; return ``None`` if it does not fit."""
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    try:
        together = cohort(make, data, members, device, precision)
        seconds = shortest(together.epoch, device, rounds) / members
    except torch.OutOfMemoryError:
        return None
    memory = torch.cuda.max_memory_allocated(device) if on_gpu else 0
    return Reached(members=members, seconds=seconds, networks=len(together._stacks), memory=memory)


def difference(make: Make, data: Dataset, members: int, device: torch.device, precision: str) -> float:
    """Return how far the first member's losses in a cohort are from those alone, relatively."""
    losses = []
    for size in (1, members):
        together = cohort(make, data, size, device, precision)
        results = [together.epoch()[0] for _ in range(EPOCHS_COMPARED)]
        losses.append(torch.tensor([[result.training_loss, result.validation_loss] for result in results]))
    alone, fused = losses
    return float(((fused - alone).abs() / alone).max())


def grow(
    make: Make, data: Dataset, device: torch.device, most: int, rounds: int, precision: str
) -> tuple[list[Reached], bool]:
    """Return what cohorts of growing size came to, as far as they were of use, and whether memory ended it."""
    reached: list[Reached] = []
    members = 1
    while members <= most:
        one = reach(make, data, members, device, rounds, precision)
        if one is None:
            return reached, True
        if reached and members > 16 and one.seconds > GAIN * reached[-1].seconds:
            break
        reached.append(one)
        members *= 2
    return reached, False


def main() -> None:
    """Print one table for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--most", type=int, default=4096, help="members of the largest cohort that is tried")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32", choices=sorted(TOLERANCES))
    asked = parser.parse_args()
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU here; --device cpu checks that all of it runs")
    torch.set_num_threads(1)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    data = dataset()
    print(f"{name}; {len(data.training)} samples, batches of {BATCH}, {asked.precision}", flush=True)
    for case, (make, target) in CASES.items():
        alone = shortest(plain(make, BATCH, data, fused=False, device=asked.device), device, asked.rounds)
        print(f"\n{case}: {alone * 1e3:.2f} ms an epoch one by one; {target:g}x is wanted", flush=True)
        print(f"{'members':>8} {'networks':>8} {'ms each':>9} {'faster':>8} {'MiB':>8}")
        reached, full = grow(make, data, device, asked.most, asked.rounds, asked.precision)
        for one in reached:
            columns = f"{one.members:8} {one.networks:8} {one.seconds * 1e3:9.3f} {alone / one.seconds:7.1f}x"
            print(f"{columns} {one.memory / 2**20:8.0f}", flush=True)
        if full:
            print("the next one does not fit in memory")
        apart = difference(make, data, min(16, asked.most), device, asked.precision)
        verdict = "the same" if apart <= TOLERANCES[asked.precision] else "NOT THE SAME"
        print(f"in a cohort of {min(16, asked.most)} as alone: {verdict} (losses differ by {apart:.1e})", flush=True)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
