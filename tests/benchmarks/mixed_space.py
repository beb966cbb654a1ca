"""A space of mixed shapes on digits, against the plain way: trials a minute, and the time to a good network.

    python -m tests.benchmarks.mixed_space [--trials N] [--processes N] [--seeds N]

Both ways search the learning rate, widths of 32 to 256, depths of 1 to 4, batches of 16 to 128, five optimizers, L1
and L2, with TPE, for at most 20 epochs, under Hyperband; no dropout, a constant schedule. First they run a whole study,
in which the plain way asks its sampler and its pruner, and trains what the tuner has tried, for as many epochs:
otherwise chance would compare the sizes of networks. Then they run one study a seed until a trial has reached a
validation accuracy of 97.5 %. Rates and times include the start of the processes.
"""

from __future__ import annotations

import argparse
from statistics import median

from tests.benchmarks import plain_way
from tests.benchmarks.digits_study import tuned

SPACE = (
    "space.activation=relu",
    "space.dropout=0",
    "space.schedule=constant",
    "space.momentum=0.9",
    "training.epochs=20",
    "search.pruner=hyperband",
)
GOOD = 0.975
RAY_TRIALS_A_MINUTE = 15
"""Of Ray Tune 2.60 with OptunaSearch and ASHA on the same work, two CPUs: measured once, not in this run."""


def main() -> None:
    """Run both and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=10)
    written = parser.parse_args()
    if written.trials:
        whole_study(written.trials, written.processes)
    if written.seeds:
        time_to_good(written.seeds, written.processes)


def whole_study(trials: int, processes: int) -> None:
    """Compare the rates of whole studies."""
    ours = tuned(trials=trials, processes=processes, settings=SPACE)
    print(f"tuner      {ours}", flush=True)
    plain = plain_way.run("digits", trials=trials, processes=processes, settings=SPACE, tried=ours.tried)
    print(f"plain way  {plain}", flush=True)
    cpu = (plain.cpu_seconds / plain.trials) / (ours.cpu_seconds / ours.trials)
    rate, plain_rate = (one.trials / one.seconds * 60 for one in (ours, plain))
    print(
        f"trials a minute: {rate / plain_rate:.1f} times the plain way's ({cpu:.1f} times for the CPU), "
        f"{rate / RAY_TRIALS_A_MINUTE:.0f} times Ray Tune's",
        flush=True,
    )


def time_to_good(seeds: int, processes: int) -> None:
    """Compare how long it takes until a network is good, for several seeds."""
    times: dict[str, list[float]] = {"tuner": [], "plain way": []}
    for seed in range(seeds):
        settings = (*SPACE, f"seed={seed}")
        both = {
            "tuner": tuned(trials=200, processes=processes, settings=settings, target=GOOD),
            "plain way": plain_way.run("digits", trials=200, processes=processes, settings=settings, target=GOOD),
        }
        for name, one in both.items():
            times[name].append(float("inf") if one.reached is None else one.reached)
        told = ", ".join(f"{name} {times[name][-1]:.1f} s ({one.trials} trials)" for name, one in both.items())
        print(f"seed {seed}: {GOOD:.1%} after {told}", flush=True)
    ours, plain = (median(values) for values in times.values())
    print(f"median time to {GOOD:.1%}: {ours:.1f} s and {plain:.1f} s, {plain / ours:.1f} times as long")


if __name__ == "__main__":
    main()
