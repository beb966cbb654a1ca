"""A worker without torch: it claims, trains cohorts of a made-up recurrence, checkpoints, and may be killed.

python -m tests.storage.fake_worker URL STUDY_ID [--checkpoints FOLDER] [--cohort N] [--lease SECONDS] …
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from dataclasses import dataclass

from optuna.distributions import FloatDistribution
from optuna.trial import TrialState

import storage as st
from storage import Checkpoint, CheckpointStore


def start(number: int) -> float:
    """The parameter of the trial of that number."""
    return random.Random(number).uniform(0.1, 0.9)


def step(x: float, rate: float) -> float:
    """One epoch of training: chaotic, so that a wrong state is seen at once."""
    return 3.9 * x * (1 - x) * 0.99 + rate * 0.001


def curve(number: int, epochs: int) -> dict[int, float]:
    """What an uninterrupted run of the trial reports."""
    x, reports = start(number), {}
    for epoch in range(epochs):
        x = step(x, start(number))
        reports[epoch] = x
    return reports


@dataclass
class Member:
    trial_id: int
    number: int
    epoch: int
    x: float


class FakeWorker:
    """Trains until there is nothing to claim and nobody else at work."""

    def __init__(self, storage: st.SQLStorage, study_id: int, options: argparse.Namespace) -> None:
        self.storage = storage
        self.study_id = study_id
        self.options = options
        self.store = CheckpointStore(storage, study_id, options.checkpoints) if options.checkpoints else None
        self.members: dict[int, Member] = {}

    def run(self) -> None:
        self.storage.register_worker(self.study_id, name="fake")
        with self.storage.keep_alive():
            while True:
                self.fill()
                if self.members:
                    self.epoch()
                elif not self.storage.unfinished(self.study_id):
                    return
                else:
                    time.sleep(0.05)

    def fill(self) -> None:
        free = self.options.cohort - len(self.members)
        for claim in self.storage.claim(self.study_id, free) if free else ():
            member = Member(claim.trial_id, claim.number, -1, start(claim.number))
            if claim.resumed:
                checkpoint = self.store.load(claim.trial_id) if self.store else None
                if checkpoint is not None:
                    member.epoch, member.x = checkpoint.epoch, float.fromhex(checkpoint.tensors.decode())
                self.storage.rewind(claim.trial_id, member.epoch if checkpoint else None)
            self.storage.set_trial_param(claim.trial_id, "rate", start(claim.number), FloatDistribution(0, 1))
            self.members[claim.trial_id] = member

    def epoch(self) -> None:
        time.sleep(self.options.seconds)
        for trial_id in self.storage.lost() & self.members.keys():
            del self.members[trial_id]
        with self.storage.batch():
            for member in list(self.members.values()):
                try:
                    self.train(member)
                except st.LeaseLostError:
                    del self.members[member.trial_id]
        if self.store and self.members:
            self.store.save_all(
                {
                    member.trial_id: Checkpoint(epoch=member.epoch, tensors=member.x.hex().encode(), meta={})
                    for member in self.members.values()
                }
            )

    def train(self, member: Member) -> None:
        member.epoch, member.x = member.epoch + 1, step(member.x, start(member.number))
        if member.epoch < self.options.epochs:
            self.storage.set_trial_intermediate_value(member.trial_id, member.epoch, member.x)
            self.storage.record_epoch(member.trial_id, member.epoch, {"training_loss": member.x})
        if member.epoch >= self.options.epochs - 1:
            self.storage.set_trial_state_values(member.trial_id, TrialState.COMPLETE, [member.x])
            del self.members[member.trial_id]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("study_id", type=int)
    parser.add_argument("--checkpoints")
    parser.add_argument("--cohort", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.0, help="an epoch takes")
    parser.add_argument("--lease", type=float, default=60.0)
    parser.add_argument("--go", action="store_true", help="say 'ready' and wait for a line on stdin before starting")
    options = parser.parse_args()
    storage = st.open_storage(options.url, lease=options.lease)
    if options.go:
        print("ready", flush=True)
        sys.stdin.readline()
    FakeWorker(storage, options.study_id, options).run()
    storage.close()


if __name__ == "__main__":
    main()
