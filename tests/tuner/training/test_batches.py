from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.tuner.training.making import blobs
from tuner.training.batches import batches, sizes


def test_targets_are_prepared_for_as_many_steps_as_the_memory_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    part, size, outputs = blobs().training, 4, 1000
    monkeypatch.setattr("tuner.training.batches.GATHERED_BYTES", 3 * size * outputs * 8)
    steps: list[int] = []

    def prepare(targets: Tensor) -> Tensor:
        steps.append(len(targets))
        return targets.unsqueeze(-1).expand(*targets.shape, outputs)

    orders = torch.arange(len(part)).unsqueeze(0)
    seen = [targets for _, targets in batches(part, orders, sizes(len(part), size), torch.device("cpu"), prepare)]
    assert torch.equal(torch.cat(seen, 1)[0, :, 0], part.targets)
    assert max(steps) == 2  # the inputs take some of it too
