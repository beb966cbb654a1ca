from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training.making import Accuracy, blobs, curve, groups, member, mlp, train
from tuner.training import Cohort, CrossEntropy, Member, RecipeError
from tuner.training.precision import LossScale

FLOAT = blobs(80, dtype=torch.float32)


class Seen(nn.Module):
    """Notes in what the layer below computed."""

    def __init__(self, seen: set[torch.dtype]) -> None:
        super().__init__()
        self._seen = seen

    def forward(self, x: Tensor) -> Tensor:
        self._seen.add(x.dtype)
        return x


def layers(seen: set[torch.dtype] | None = None) -> nn.Module:
    return nn.Sequential(nn.Linear(5, 16), Seen(seen if seen is not None else set()), nn.Tanh(), nn.Linear(16, 3))


def one(number: int = 0, **changes: Any) -> Member:
    changes.setdefault("network", layers)
    return member(number, **({"epochs": 12, "learning_rate": 0.02} | changes))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.parametrize("network", [layers, lambda: mlp(torch.float32)], ids=["module", "mlp"])
def test_a_network_learns_as_well_in_mixed_precision(network: Any, precision: str) -> None:
    full, mixed = (train([one(network=network, precision=p)], FLOAT)[0] for p in ("float32", precision))
    assert not mixed[-1].diverged
    assert mixed[-1].validation_loss == pytest.approx(full[-1].validation_loss, rel=0.05)
    assert mixed[-1].validation_loss != full[-1].validation_loss
    assert mixed[-1].metrics["accuracy"] == pytest.approx(full[-1].metrics["accuracy"], abs=0.1)


def test_it_trains_in_the_lower_precision_keeps_weights_in_float32_and_scores_in_it() -> None:
    seen: set[torch.dtype] = set()
    mixed = one(network=lambda: layers(seen), precision="bfloat16")
    cohort = Cohort(FLOAT, [Accuracy()])
    cohort.join(mixed)
    cohort.epoch()
    assert seen == {torch.bfloat16, torch.float32}  # in training, and where it is judged
    assert {value.dtype for name, value in mixed.row.items() if name.startswith(("weights", "optimizer"))} == {
        torch.float32
    }


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_in_mixed_precision_a_member_learns_the_same_in_a_cohort_as_alone(precision: str) -> None:
    def members() -> list[Member]:
        names = ["adam", "sgd", "rmsprop"]
        return [one(n, optimizer=name, precision=precision, epochs=4, l2=0.001) for n, name in enumerate(names)]

    together = train(members(), FLOAT)
    for alone in members():
        torch.testing.assert_close(
            curve(together[alone.number]), curve(train([alone], FLOAT)[alone.number]), rtol=1e-2, atol=1e-2
        )


def test_members_of_unlike_precision_are_not_fused() -> None:
    pair = [
        one(number, network=lambda: mlp(torch.float32), precision=p) for number, p in enumerate(["float32", "bfloat16"])
    ]
    assert [len(group) for group in groups(pair)] == [1, 1]


def test_a_resumed_member_keeps_the_scale_of_its_loss() -> None:
    def start() -> tuple[Cohort, Member]:
        cohort, started = Cohort(FLOAT, [Accuracy()]), one(precision="float16", epochs=4)
        cohort.join(started)
        return cohort, started

    cohort, started = start()
    cohort.epoch()
    started.row["scale.factor"].fill_(2.0**20)  # soon too large
    cohort.epoch()
    tensors, meta = started.state()
    assert tensors["scale.factor"].shape == (1,)
    other, resumed = start()
    other.restore(resumed, tensors, meta)
    while len(cohort):
        results = cohort.epoch()
        assert torch.equal(curve(results), curve(other.epoch()))
    torch.testing.assert_close(resumed.row, started.row)


def test_a_step_whose_gradient_overflows_is_undone_for_its_member_alone_and_the_scale_halved() -> None:
    weights, slot = torch.zeros(3, 4), torch.zeros(2, 4)
    gradient = torch.full((3, 4), 2.0**16)
    gradient[1, 2] = torch.inf
    state = {name: value.repeat(3, 1) for name, value in LossScale.initial().items()}
    scale = LossScale(state, gradient, [(slice(None), weights), (slice(1, 3), slot)])
    scale.before_step()
    assert gradient.tolist() == [[1.0] * 4, [0.0] * 4, [1.0] * 4]
    weights.add_(5.0)
    slot.add_(7.0)
    scale.after_step()
    assert weights[:, 0].tolist() == [5.0, 0.0, 5.0]
    assert slot[:, 0].tolist() == [0.0, 7.0]
    assert state["scale.factor"].flatten().tolist() == [2.0**16, 2.0**15, 2.0**16]
    assert state["scale.finite_steps"].flatten().tolist() == [1.0, 0.0, 1.0]


def test_the_scale_doubles_after_many_finite_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LossScale, "INTERVAL", 3)
    state = {name: value.repeat(1, 1) for name, value in LossScale.initial().items()}
    scale = LossScale(state, torch.ones(1, 2), [])
    factors = []
    for _ in range(7):
        scale.before_step()
        scale.after_step()
        factors.append(state["scale.factor"].item() / 2.0**16)
    assert factors == [1, 1, 2, 2, 2, 4, 4]


class Tiny(CrossEntropy):
    """A loss whose gradient float16 takes for zero."""

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return 1e-8 * super().__call__(outputs, targets)


def test_gradients_too_small_for_float16_are_learned_from() -> None:
    def moved(precision: str) -> Tensor:
        settings: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e6, "epochs": 1, "precision": precision}
        learning = one(network=lambda: nn.Sequential(nn.Linear(5, 3)), loss=Tiny(), **settings)
        before = learning.row["weights"].clone()
        train([learning], FLOAT)
        return learning.row["weights"] - before

    assert moved("float32").abs().max() > 0.001
    torch.testing.assert_close(moved("float16"), moved("float32"), rtol=0.05, atol=1e-3)


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(RecipeError, match="unknown precision 'float8'"):
        one(precision="float8")
