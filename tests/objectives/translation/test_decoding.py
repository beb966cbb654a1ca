"""Greedy and beam decoding against all texts there are, tried one by one."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from objectives.text.tokenizers import BOS, EOS, PAD
from objectives.transformer.shape import LayerShape
from objectives.translation.decoding import beam, greedy
from objectives.translation.network import Transformer

VOCABULARY = 8
LETTERS = [number for number in range(VOCABULARY) if number not in (PAD, BOS, EOS)]
LONGEST = 3
SOURCE = torch.tensor([[5, 6, 7, EOS], [6, EOS, PAD, PAD], [7, 5, EOS, PAD]])


@pytest.fixture(params=range(2))
def model(request: pytest.FixtureRequest) -> Transformer:
    """A network whose opinions are strong and arbitrary."""
    torch.manual_seed(request.param)
    network = Transformer(
        source_vocabulary=VOCABULARY,
        target_vocabulary=VOCABULARY,
        shape=LayerShape(width=8, heads=2, feed_forward=8),
        encoder_layers=1,
        decoder_layers=1,
        tied=False,
    ).eval()
    with torch.no_grad():
        network.output.weight.mul_(3)
    return network


def texts() -> list[list[int]]:
    """Every text of at most LONGEST tokens, its end included; the longest ones may have none."""
    ended = [[*word, EOS] for length in range(LONGEST) for word in product(LETTERS, repeat=length)]
    return ended + [list(word) for word in product(LETTERS, repeat=LONGEST)]


def log_probabilities(model: Transformer, source: Tensor) -> list[float]:
    """Of every text there is, as the translation of one source."""
    rows = torch.tensor([padded(text) for text in texts()])
    begun = torch.cat([torch.full((len(rows), 1), BOS), rows[:, :-1]], 1)
    with torch.no_grad():
        logits = model(source.expand(len(rows), -1), begun)
    logits[..., [PAD, BOS]] = -torch.inf
    chosen = logits.log_softmax(-1).gather(-1, rows.unsqueeze(-1)).squeeze(-1)
    return torch.where(rows == PAD, 0.0, chosen).sum(1).tolist()


def padded(text: list[int]) -> list[int]:
    return text + [PAD] * (LONGEST - len(text))


@pytest.mark.parametrize("length_penalty", [0.0, 1.5])
def test_a_beam_as_wide_as_there_are_texts_finds_the_worthiest(model: Transformer, length_penalty: float) -> None:
    found, worth = beam(model, SOURCE, width=len(texts()), longest=LONGEST, length_penalty=length_penalty)
    for source, tokens, value in zip(SOURCE, found.tolist(), worth.tolist(), strict=True):
        worths = [
            chance / ((5 + len(text)) / 6) ** length_penalty
            for text, chance in zip(texts(), log_probabilities(model, source), strict=True)
        ]
        best = max(range(len(worths)), key=worths.__getitem__)
        assert padded(tokens) == padded(texts()[best])
        assert value == pytest.approx(worths[best], abs=1e-4)


@pytest.mark.parametrize("longest", [1, 12])
def test_a_beam_of_one_is_greedy(model: Transformer, longest: int) -> None:
    expected = greedy(model, SOURCE, longest=longest)
    found, _ = beam(model, SOURCE, width=1, longest=longest)
    assert torch.equal(found, expected)


def test_greedy_writes_the_likeliest_token_after_those_written(model: Transformer) -> None:
    for source, tokens in zip(SOURCE, greedy(model, SOURCE, longest=6).tolist(), strict=True):
        written = tokens[: tokens.index(EOS) + 1] if EOS in tokens else tokens
        logits = model(source.unsqueeze(0), torch.tensor([[BOS, *written[:-1]]]))[0]
        logits[:, [PAD, BOS]] = -torch.inf
        assert logits.argmax(-1).tolist() == written
        assert set(tokens[len(written) :]) <= {PAD}


def test_a_wider_beam_finds_nothing_worse_on_the_whole(model: Transformer) -> None:
    worths = [float(beam(model, SOURCE, width=width, longest=6)[1].sum()) for width in (1, 64)]
    assert worths[1] >= worths[0] - 1e-5


def test_what_a_text_is_decoded_to_depends_on_nothing_beside_it(model: Transformer) -> None:
    together, worth = beam(model, SOURCE, width=3, longest=6)
    for index in range(len(SOURCE)):
        alone, its_worth = beam(
            model, SOURCE[index : index + 1, : int((SOURCE[index] != PAD).sum())], width=3, longest=6
        )
        assert alone[0].tolist() == together[index, : alone.shape[1]].tolist()
        assert set(together[index, alone.shape[1] :].tolist()) <= {PAD}
        assert its_worth[0].item() == pytest.approx(worth[index].item(), abs=1e-4)
