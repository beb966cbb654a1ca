"""Networks that are not an MLP: autograd trains them, in the same loop."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.tuner.training.making import Accuracy, assert_same, blobs, curve, member, mlp, train
from tuner.training import MLP, Cohort, Dataset, Member, Part
from tuner.training.batches import sizes
from tuner.training.member import CheckpointError
from tuner.training.network import Layout, predict
from tuner.training.recipe import RecipeError


class TwoTowers(nn.Module):
    """Two inputs, dropout, batch normalization, a frozen layer, and a parameter used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.3))
        self.right = nn.Embedding(4, 6)
        self.frozen = nn.Linear(6, 6).requires_grad_(False)
        self.out = nn.Linear(6, 3)
        self.again = self.out
        self.double()

    def forward(self, x: Tensor, word: Tensor) -> Tensor:
        hidden: Tensor = self.frozen(self.left(x) + self.right(word))
        output: Tensor = self.again(hidden)
        return output


def two_inputs() -> Dataset:
    plain = blobs()

    def with_words(part: Part) -> Part:
        return Part(inputs=(*part.inputs, torch.arange(len(part)) % 4), targets=part.targets)

    return Dataset(training=with_words(plain.training), validation=with_words(plain.validation))


def test_a_module_with_dropout_and_running_statistics_learns_the_same_in_a_cohort_as_alone() -> None:
    def members() -> list[Member]:
        return [
            member(number, network=TwoTowers, optimizer=name, l2=0.001)
            for number, name in enumerate(["adam", "sgd", "rmsprop"])
        ]

    together = members()
    curves = train(together, two_inputs())
    for one, same in zip(together, members(), strict=True):
        assert_same(one, curves[one.number], same, train([same], two_inputs())[same.number])
        for name, buffer in one.module.named_buffers():
            torch.testing.assert_close(buffer, same.module.get_buffer(name))


def test_a_module_is_resumed_with_its_running_statistics() -> None:
    def one() -> Member:
        return member(1, network=TwoTowers, optimizer="rmsprop")

    cohort = Cohort(two_inputs(), [Accuracy()])
    started = one()
    cohort.join(started)
    results = [result for _ in range(2) for result in cohort.epoch()]
    tensors, meta = cohort.state(started)
    assert "buffer.left.1.running_mean" in tensors
    resumed, other = one(), Cohort(two_inputs(), [Accuracy()])
    other.join(resumed)
    other.join(member(2, network=TwoTowers))
    other.restore(resumed, tensors, meta)
    while resumed in other.members:
        results += [result for result in other.epoch() if result.number == 1]
    same = one()
    assert_same(resumed, results, same, train([same], two_inputs())[1])


def test_the_best_epochs_running_statistics_are_restored_with_its_weights() -> None:
    dataset = two_inputs()
    one = member(0, network=TwoTowers, epochs=10, learning_rate=0.1)
    results = train([one], dataset)[0]
    best = max(results, key=lambda result: result.metrics["accuracy"])
    assert best.epoch < 10
    outputs = predict(one.module, dataset.validation.inputs, samples=7)
    assert Accuracy()(outputs.unsqueeze(0), dataset.validation.targets).item() == best.metrics["accuracy"]


@pytest.mark.parametrize("normalization", ["none", "layer", "batch"])
def test_an_mlp_learns_the_same_by_hand_and_by_autograd(normalization: str) -> None:
    class Same(MLP):
        """An MLP that the analytic path does not take."""

    def of(kind: type[MLP]) -> MLP:
        return kind(inputs=5, outputs=3, hidden=(7, 6), normalization=normalization).double()

    by_hand = train([member(0, network=lambda: of(MLP), l1=0.01)])[0]
    by_autograd = train([member(0, network=lambda: of(Same), l1=0.01)])[0]
    torch.testing.assert_close(curve(by_hand), curve(by_autograd), rtol=1e-9, atol=1e-11)


def test_a_single_sample_left_over_joins_the_last_batch_where_one_is_too_few() -> None:
    assert sizes(17, 8) == [8, 8, 1]
    assert sizes(17, 8, smallest=2) == [8, 9]
    assert sizes(18, 8, smallest=2) == [8, 8, 2]
    assert sizes(9, 8, smallest=2) == [9]
    assert sizes(5, 8) == sizes(5, None) == [5]
    with pytest.raises(RecipeError, match="at least 2 samples in a batch, not 1"):
        sizes(9, 1, smallest=2)


def test_a_member_whose_batches_are_too_small_for_it_does_not_join() -> None:
    one = member(0, network=lambda: mlp(normalization="batch"), batch_size=1)
    with pytest.raises(RecipeError, match="batch normalization needs at least 2 samples in a batch, not 1"):
        train([one])


def test_batch_normalization_survives_a_single_sample_left_over() -> None:
    for network in (lambda: mlp(normalization="batch"), lambda: nn.Sequential(mlp(normalization="batch"))):
        results = train([member(0, network=network)], blobs(samples=41))[0]
        assert not any(result.diverged for result in results)


class Scaled(nn.Module):
    """A layer and how much of it there is: a parameter without an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        scaled: Tensor = self.layer(x) * self.scale
        return scaled


def test_a_parameter_without_an_axis_learns_the_same_in_a_cohort_as_alone() -> None:
    def one() -> Member:
        return member(0, network=Scaled)

    alone, among = one(), one()
    curves = train([among, member(1), *(member(number, network=Scaled) for number in (2, 3))])
    assert_same(among, curves[0], alone, train([alone])[0])
    assert among.module.get_parameter("scale").shape == ()
    assert among.module.get_parameter("scale") != 0.5


def test_a_layout_puts_weights_before_biases_and_shares_tied_ones() -> None:
    layout = Layout.of(TwoTowers())
    assert list(layout.shapes) == [
        "left.0.weight",
        "right.weight",
        "out.weight",
        "left.0.bias",
        "left.1.weight",
        "left.1.bias",
        "out.bias",
    ]
    assert layout.weights == 30 + 24 + 18
    assert layout.size == layout.weights + 6 + 6 + 6 + 3


def test_a_layout_writes_what_it_read() -> None:
    one, other = TwoTowers(), TwoTowers()
    layout = Layout.of(one)
    layout.write(layout.read(one), other)
    for name, parameter in other.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(parameter, one.get_parameter(name))


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.ReLU(), "ReLU has no trainable parameter"),
        (nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).double()), "must be of one dtype, got"),
    ],
)
def test_modules_that_cannot_be_trained_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Layout.of(module)


def test_a_checkpoint_of_another_network_is_refused() -> None:
    tensors, meta = member(0).state()
    with pytest.raises(
        CheckpointError, match=r"does not fit the network or its optimizer: best\.weights, optimizer\.mean"
    ):
        member(1, network=lambda: mlp(hidden=(3,))).restore(tensors, meta)
    with pytest.raises(CheckpointError, match=r"optimizer\.momentum"):
        member(1, optimizer="sgd", momentum=0.5).restore(tensors, meta)
    with pytest.raises(CheckpointError, match="of version 99, not 2"):
        member(1).restore(tensors, meta | {"version": 99})


def test_large_data_is_gathered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = train([member(0), member(1)])
    monkeypatch.setattr("tuner.training.batches.GATHERED_BYTES", 8 * 5 * 8 * 2 * 2)
    pieces = train([member(0), member(1)])
    torch.testing.assert_close(curve(pieces[1]), curve(whole[1]), rtol=0, atol=0)


def test_a_checkpoint_from_before_best_epochs_had_a_loss_is_continued() -> None:
    one = member(0)
    train([one])
    tensors, meta = one.state()
    del tensors["best.loss"]
    other = member(0)
    other.restore(tensors, meta | {"version": 1})
    assert (other.epoch, other.best_epoch) == (one.epoch, one.best_epoch)
