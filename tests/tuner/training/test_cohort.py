from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor, nn

from tests.tuner.training.making import Accuracy, assert_same, blobs, curve, groups, member, mlp, recipe, train
from tuner.training import OPTIMIZERS, SCHEDULES, Cohort, CrossEntropy, Dataset, EpochResult, Member, Part, RecipeError
from tuner.training.randomness import derive, order

PENALTIES: list[dict[str, Any]] = [
    {},
    {"l1": 0.01},
    {"l2": 0.02, "penalise_biases": True},
    {"l1": 0.003, "l2": 0.01, "weight_decay": 0.1, "gradient_clip": 0.5},
]
STOPPING: list[dict[str, Any]] = [{}, {"patience": 1, "min_delta": 0.02}, {"patience": 2, "monitor": "validation_loss"}]


def settings_of(optimizer: str) -> list[dict[str, Any]]:
    """All that a cohort's members may differ in, for one optimizer: penalties × early stopping, and momentum."""
    rate = {"gradient_descent": 0.2, "sgd": 0.2, "adadelta": 1.0, "adagrad": 0.1, "lion": 0.003}.get(optimizer, 0.02)
    settings = [
        {"optimizer": optimizer, "learning_rate": rate * (1 + index / 7), **penalty, **stopping}
        for index, (penalty, stopping) in enumerate((p, s) for p in PENALTIES for s in STOPPING)
    ]
    if optimizer in ("gradient_descent", "sgd", "rmsprop"):
        settings.append({"optimizer": optimizer, "momentum": 0.9, "learning_rate": rate / 5})
    if optimizer in ("gradient_descent", "sgd"):
        settings.append({"optimizer": optimizer, "momentum": 0.8, "nesterov": True, "learning_rate": rate / 5})
    return settings


def assert_alone_is_the_same(settings: list[dict[str, Any]], dataset: Dataset, **network: Any) -> None:
    def members() -> list[Member]:
        return [member(number, network=lambda: mlp(**network), **one) for number, one in enumerate(settings)]

    together = members()
    curves = train(together, dataset)
    for one, same in zip(together, members(), strict=True):
        assert_same(one, curves[one.number], same, train([same], dataset)[same.number])


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_optimizer_penalty_and_stopping_learns_the_same_in_a_cohort_as_alone(schedule: str) -> None:
    settings = [
        {"schedule": schedule, "warmup": 0.2 * (index % 2), "step_size": 2, "plateau_patience": 0, **one}
        for index, one in enumerate(
            one for name in OPTIMIZERS if name != "gradient_descent" for one in settings_of(name)
        )
    ]
    assert_alone_is_the_same(settings, blobs())


def test_gradient_descent_learns_the_same_in_a_cohort_as_alone() -> None:
    settings = [
        {"schedule": schedule, "batch_size": None, "step_size": 2, **one}
        for schedule in SCHEDULES
        for one in settings_of("gradient_descent")
    ]
    assert_alone_is_the_same(settings, blobs())


@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_dropout_is_the_members_own(normalization: str, activation: str) -> None:
    rates = iter([0.0, 0.2, 0.5, 0.7] * 2)

    def members() -> list[Member]:
        def network() -> nn.Module:
            return mlp(dropout=next(rates), normalization=normalization, activation=activation)

        return [member(number, network=network) for number in range(4)]

    together, alone = members(), members()
    curves = train(together)
    for one, same in zip(together, alone, strict=True):
        assert_same(one, curves[one.number], same, train([same])[same.number])


def test_a_cohort_in_single_precision_stays_close_to_its_members_alone() -> None:
    dataset = blobs(dtype=torch.float32)

    def members() -> list[Member]:
        return [
            member(number, network=lambda: mlp(torch.float32, hidden=(16,)), optimizer=name)
            for number, name in enumerate(["adam", "sgd", "rmsprop", "nadam"] * 2)
        ]

    together = members()
    curves = train(together, dataset)
    for one, same in zip(together, members(), strict=True):
        alone = train([same], dataset)[same.number]
        torch.testing.assert_close(curve(curves[one.number]), curve(alone), rtol=1e-3, atol=1e-4)


def run_with_neighbours(subjects: list[Member]) -> dict[int, list[EpochResult]]:
    """Train the subjects while others diverge, are pruned, stop early and are replaced all the time."""
    cohort = Cohort(blobs(), [Accuracy()])
    curves: dict[int, list[EpochResult]] = {one.number: [] for one in subjects}
    pruned = member(100, optimizer="rmsprop", epochs=50)
    cohort.join(pruned)
    cohort.join(member(101, optimizer="sgd", learning_rate=1e308))
    cohort.join(subjects[0])
    cohort.join(member(102, optimizer="adam", patience=1, learning_rate=1e-9, epochs=50))
    for one in subjects[1:]:
        cohort.join(one)
    seen: dict[str, int] = dict.fromkeys(("stopped", "finished", "diverged"), 0)
    epoch = 0
    while any(one in cohort.members for one in subjects):
        if epoch == 2:
            cohort.leave(pruned)
            cohort.join(member(103, optimizer="adagrad", epochs=2))
        if epoch == 3:
            cohort.join(member(104, optimizer="adam", learning_rate=1e308))
            cohort.join(member(105, optimizer="sgd", epochs=1, momentum=0.9))
        for result in cohort.epoch():
            if result.number in curves:
                curves[result.number].append(result)
            for name in seen:
                seen[name] += getattr(result, name)
        epoch += 1
    assert min(seen.values()) > 0
    return curves


def test_neighbours_that_diverge_stop_leave_and_join_change_nothing() -> None:
    def subjects() -> list[Member]:
        return [
            member(number, optimizer=name, epochs=7, schedule="cosine", network=lambda: mlp(dropout=0.2), l1=0.001)
            for number, name in enumerate(["adam", "sgd", "rmsprop", "radam"])
        ]

    together = subjects()
    curves = run_with_neighbours(together)
    for one, same in zip(together, subjects(), strict=True):
        assert_same(one, curves[one.number], same, train([same])[same.number])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("schedule", ["one_cycle", "reduce_on_plateau"])
def test_a_member_resumed_from_a_checkpoint_in_another_cohort_goes_on_as_if_nothing_had_happened(
    optimizer: str, schedule: str
) -> None:
    def one() -> Member:
        settings = settings_of(optimizer)[-1]
        batch = {"batch_size": None} if optimizer == "gradient_descent" else {}
        return member(
            7,
            network=lambda: mlp(dropout=0.3),
            epochs=6,
            schedule=schedule,
            plateau_patience=0,
            **batch,
            **settings | {"patience": None},
        )

    batch = None if optimizer == "gradient_descent" else 8
    gradient_descent: dict[str, Any] = {"optimizer": "gradient_descent", "batch_size": None} if batch is None else {}
    first = Cohort(blobs(), [Accuracy()])
    started = one()
    first.join(started)
    first.join(member(8, **gradient_descent))
    results = [result for _ in range(3) for result in first.epoch() if result.number == 7]
    tensors, meta = first.state(started)
    stored, described = save(tensors), json.dumps(meta)
    first.epoch()  # goes on, but what was stored does not change

    resumed = one()
    second = Cohort(blobs(), [Accuracy()])
    second.join(member(9, **gradient_descent))
    second.restore(resumed, load(stored), json.loads(described))
    second.join(resumed)
    while resumed in second.members:
        results += [result for result in second.epoch() if result.number == 7]
    same = one()
    assert_same(resumed, results, same, train([same])[7])


def plain_training(one: Member, dataset: Dataset, make: Any) -> tuple[list[float], list[float]]:
    """Train the member's module as anyone would, with autograd and torch.optim."""
    module, r = one.module, one.recipe
    optimizer = make(module.parameters())
    training, validation = [], []
    (x,), y = dataset.training.inputs, dataset.training.targets
    for epoch in range(r.epochs):
        module.train()
        total = 0.0
        for batch in torch.split(order(r.seed, epoch, len(y)), r.batch_size or len(y)):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module(x[batch]), y[batch])
            total += loss.item() * len(batch)
            weights = (
                [] if r.penalise_biases else [p for p in module.parameters() if p.ndim >= 2]
            )  # else torch.optim does it
            penalty = r.l1 * sum(p.abs().sum() for p in weights) + r.l2 * sum(p.square().sum() for p in weights)
            torch.autograd.backward(loss + penalty)
            if r.gradient_clip is not None:
                nn.utils.clip_grad_norm_(module.parameters(), r.gradient_clip)
            optimizer.step()
        training.append(total / len(y))
        module.eval()
        with torch.no_grad():
            loss = nn.functional.cross_entropy(module(dataset.validation.inputs[0]), dataset.validation.targets)
        validation.append(loss.item())
    return training, validation


@pytest.mark.parametrize(
    ("settings", "make"),
    [
        ({"optimizer": "sgd", "learning_rate": 0.1, "l1": 0.01}, lambda p: torch.optim.SGD(p, 0.1)),
        ({"optimizer": "adam", "l1": 0.002, "l2": 0.01}, lambda p: torch.optim.Adam(p, 0.01)),
        ({"optimizer": "sgd", "l2": 0.05, "gradient_clip": 0.3}, lambda p: torch.optim.SGD(p, 0.01)),
        (
            {"optimizer": "adamw", "weight_decay": 0.1, "penalise_biases": True},
            lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
        ),
        (
            {"optimizer": "sgd", "l2": 0.05, "penalise_biases": True, "momentum": 0.9, "nesterov": True},
            lambda p: torch.optim.SGD(p, 0.01, weight_decay=0.1, momentum=0.9, nesterov=True),
        ),
        ({"optimizer": "rmsprop"}, lambda p: torch.optim.RMSprop(p, 0.01)),
    ],
    ids=lambda value: None if callable(value) else str(value),
)
@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
def test_a_curve_is_that_of_a_plain_loop_with_autograd_and_torch_optim(
    settings: dict[str, Any], make: Any, normalization: str
) -> None:
    if settings.get("penalise_biases") is None and normalization != "none":
        settings = settings | {"gradient_clip": 1.0}
    dataset = blobs()
    ours, theirs = (member(3, network=lambda: mlp(normalization=normalization), epochs=4, **settings) for _ in range(2))
    results = train([ours, member(4, network=lambda: mlp(normalization=normalization))], dataset)[3]
    training, validation = plain_training(theirs, dataset, make)
    torch.testing.assert_close([r.training_loss for r in results], training, rtol=1e-8, atol=1e-9)
    torch.testing.assert_close([r.validation_loss for r in results], validation, rtol=1e-8, atol=1e-9)
    ours.layout.write(ours.row["weights"], ours.module)
    for parameter, same in zip(ours.module.parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(parameter, same, rtol=1e-8, atol=1e-9)


def test_the_best_epochs_weights_are_in_the_module_at_the_end() -> None:
    dataset = blobs()
    one = member(epochs=12, learning_rate=0.3, optimizer="sgd", batch_size=2)
    results = train([one, member(2, batch_size=2)], dataset)[0]
    best = max(results, key=lambda result: result.metrics["accuracy"])
    assert results[-1].best_epoch == best.epoch < 12
    assert [result.improved for result in results].index(True) == 0
    assert (
        Accuracy()(one.module(*dataset.validation.inputs).unsqueeze(0), dataset.validation.targets).item()
        == (best.metrics["accuracy"])
    )


def test_the_monitored_score_decides_which_epoch_is_best() -> None:
    by_loss = member(0, epochs=10, learning_rate=0.1, monitor="validation_loss")
    results = train([by_loss])[0]
    assert results[-1].best_epoch == min(results, key=lambda result: result.validation_loss).epoch


def test_a_metric_that_is_minimised_is_best_when_smallest() -> None:
    class Error(Accuracy):
        def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
            return 1.0 - super().__call__(outputs, targets)

    cohort = Cohort(blobs(), [Error("error", "minimize")])
    cohort.join(member(epochs=10))
    results = [result for _ in range(10) for result in cohort.epoch()]
    best = min(results, key=lambda result: (result.metrics["error"], result.validation_loss))
    assert results[-1].best_epoch == best.epoch


def test_a_member_that_diverges_leaves_with_its_best_weights() -> None:
    cohort = Cohort(blobs(), [Accuracy()])
    wild, calm = member(0, optimizer="sgd", learning_rate=1e308), member(1)
    cohort.join(wild)
    cohort.join(calm)
    results = cohort.epoch()
    assert [result.diverged for result in results] == [True, False]
    assert not results[0].stopped
    assert math.isnan(results[0].metrics["accuracy"])
    assert results[0].best_epoch == 0
    assert cohort.members == [calm]


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_a_member_may_leave_and_join_again(normalization: str) -> None:
    def one() -> Member:
        return member(0, network=lambda: nn.Sequential(mlp(normalization=normalization)))

    cohort = Cohort(blobs(), [Accuracy()])
    again, results = one(), []
    cohort.join(again)
    for _ in range(5):
        results += cohort.epoch()
        if len(cohort):
            cohort.leave(again)
            cohort.join(again)
    same = one()
    assert_same(again, results, same, train([same])[0])


def test_results_come_in_the_order_in_which_members_joined() -> None:
    cohort = Cohort(blobs(), [Accuracy()])
    for number, name in enumerate(["sgd", "adam", "rmsprop", "adam", "sgd"]):
        cohort.join(member(10 - number, optimizer=name))
    assert [result.number for result in cohort.epoch()] == [10, 9, 8, 7, 6]


def test_the_order_of_the_data_follows_from_seed_and_epoch() -> None:
    assert order(3, 1, 20).tolist() == order(3, 1, 20).tolist()
    assert len({tuple(order(seed, epoch, 20).tolist()) for seed in range(3) for epoch in range(3)}) == 9
    assert sorted(order(3, 1, 20).tolist()) == list(range(20))
    assert derive(1, "order", 2) != derive(1, "dropout", 2)


def test_a_fraction_of_the_data_is_the_same_samples_in_every_epoch() -> None:
    first, second = order(3, 0, 20, 0.4), order(3, 1, 20, 0.4)
    assert len(first) == 8
    assert set(first.tolist()) == set(second.tolist())
    assert first.tolist() != second.tolist()
    assert set(order(4, 0, 20, 0.4).tolist()) != set(first.tolist())


def test_members_that_use_a_fraction_of_the_data_learn_the_same_alone() -> None:
    assert_alone_is_the_same([{"data_fraction": 0.4}, {"data_fraction": 0.4, "l2": 0.1}], blobs())


def test_a_member_that_uses_a_fraction_by_gradient_descent_never_sees_the_rest() -> None:
    data = blobs()
    rows = order(0, 0, 44, 0.25).sort().values
    fewer = Part(inputs=(data.training.inputs[0][rows],), targets=data.training.targets[rows])
    settings: dict[str, Any] = {"optimizer": "gradient_descent", "batch_size": None}
    part = train([member(0, data_fraction=0.25, **settings)], data)[0]
    whole = train([member(0, **settings)], Dataset(training=fewer, validation=data.validation))[0]
    torch.testing.assert_close(curve(part), curve(whole))


def test_members_of_different_shapes_batches_and_losses_share_a_cohort() -> None:
    different: list[dict[str, Any]] = [
        {"batch_size": 4},
        {"data_fraction": 0.5},
        {"loss": CrossEntropy(label_smoothing=0.1)},
        {"network": lambda: mlp(hidden=(8, 8))},
        {"network": lambda: mlp(hidden=(4,), activation="relu")},
        {"network": lambda: mlp(normalization="batch")},
        {"optimizer": "gradient_descent", "batch_size": None},
    ]

    def members() -> list[Member]:
        return [member(number, **settings) for number, settings in enumerate(different + different)]

    together, data = members(), blobs()
    assert len({one.key(data) for one in together}) == len(different)
    curves = train(together)
    for one, same in zip(together, members(), strict=True):
        assert_same(one, curves[one.number], same, train([same])[same.number])


def test_members_may_bring_data_of_their_own() -> None:
    common, own = blobs(), blobs(36)

    def members() -> list[Member]:
        return [member(number, dataset=own if number % 2 else None) for number in range(4)]

    together = members()
    assert [[one.number for one in group] for group in groups(together)] == [[0, 2], [1, 3]]
    curves = train(together, common)
    for one, same in zip(together, members(), strict=True):
        data, same.dataset = same.dataset or common, None
        assert_same(one, curves[one.number], same, train([same], data)[same.number])


def test_members_are_fused_in_groups_of_a_size_that_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.training.costs.best_together", lambda machine, step, members: 3)
    members = [member(number, optimizer=("adam", "sgd")[number % 2]) for number in range(7)]
    members.append(member(7, network=lambda: mlp(hidden=(9,))))
    assert [[one.number for one in group] for group in groups(members)] == [[0, 2], [4, 6], [1, 3, 5], [7]]


def test_what_cannot_join_is_told_why() -> None:
    cohort = Cohort(blobs(), [Accuracy()])
    one = member(0, epochs=1)
    with pytest.raises(RecipeError, match="unknown monitor 'f1'; choose one of validation_loss, accuracy"):
        cohort.join(member(1, monitor="f1"))
    cohort.join(one)
    with pytest.raises(ValueError, match="member 0 is already in the cohort"):
        cohort.join(one)
    cohort.epoch()
    cohort.leave(one)  # it has left: nothing happens
    with pytest.raises(ValueError, match="member 0 has finished its 1 epochs"):
        cohort.join(one)
    assert cohort.epoch() == []


def test_initial_weights_follow_from_the_seed_alone() -> None:
    first, again, other = member(0, seed=5), member(1, seed=5), member(2, seed=6)
    torch.testing.assert_close(first.row["weights"], again.row["weights"], rtol=0, atol=0)
    assert not torch.equal(first.row["weights"], other.row["weights"])
    before = torch.get_rng_state()
    member(3)
    assert torch.equal(before, torch.get_rng_state())


def test_training_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    train([member(0, network=lambda: mlp(dropout=0.5, normalization="batch"), epochs=1)])
    assert torch.equal(before, torch.get_rng_state())


def test_the_seconds_of_all_members_add_up_to_the_epochs_time() -> None:
    cohort = Cohort(blobs(), [Accuracy()])
    for number in range(4):
        cohort.join(member(number))
    assert len({result.seconds for result in cohort.epoch()}) == 1


def test_recipes_of_one_member_are_kept() -> None:
    assert member(0, epochs=3).recipe == recipe(epochs=3, seed=0)


@dataclass(frozen=True)
class Life:
    """What happens to one member: when it joins, and after how many epochs it moves to another cohort, or is pruned."""

    width: int
    optimizer: str
    joins: int
    moves: int
    pruned: int


lives = st.builds(
    Life,
    width=st.sampled_from([4, 6]),
    optimizer=st.sampled_from(["sgd", "adam", "rmsprop", "adadelta"]),
    joins=st.integers(0, 3),
    moves=st.integers(1, 6),
    pruned=st.integers(1, 6),
)


def living(number: int, life: Life) -> Member:
    return member(
        number,
        network=lambda: mlp(hidden=(life.width,), dropout=0.2, normalization="batch"),
        optimizer=life.optimizer,
        patience=3,
    )


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.lists(lives, min_size=2, max_size=6))
def test_whoever_comes_goes_and_moves_a_members_curve_is_its_own(everyone: list[Life]) -> None:
    cohorts = [Cohort(blobs(), [Accuracy()]) for _ in range(2)]
    members = {number: living(number, life) for number, life in enumerate(everyone)}
    curves: dict[int, list[EpochResult]] = {number: [] for number in members}
    for clock in range(12):
        for number, life in enumerate(everyone):
            one = members[number]
            if life.joins == clock:
                cohorts[0].join(one)
            elif one in cohorts[0].members and one.epoch == life.moves:
                moved = living(number, life)
                cohorts[1].restore(moved, *cohorts[0].state(one))
                cohorts[0].leave(one)
                cohorts[1].join(moved)
                members[number] = moved
            elif one in cohorts[1].members and one.epoch == life.pruned:
                cohorts[1].leave(one)
        for cohort in cohorts:
            for result in cohort.epoch():
                curves[result.number].append(result)
    for number, life in enumerate(everyone):
        same = living(number, life)
        alone = train([same])[number]
        seen = curves[number]
        assert seen
        torch.testing.assert_close(curve(seen), curve(alone[: len(seen)]), rtol=1e-9, atol=1e-11)
        if len(seen) == len(alone):
            assert_same(members[number], seen, same, alone)
