"""One token after the other, a decoder gives what it gives for all at once."""

from __future__ import annotations

import pytest
import torch

from objectives.transformer.continuation import Continuation
from objectives.transformer.decoder import Decoder
from objectives.transformer.embedding import TokenEmbedding
from objectives.transformer.hyperparameters import POSITIONS
from objectives.transformer.shape import LayerShape

MEMORY_PRESENT = torch.tensor([[True] * 4 + [False] * 2, [True] * 6, [True] + [False] * 5])
NUMBERS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [10, 1, 10, 1, 10]])


def network(positions: str) -> tuple[TokenEmbedding, Decoder]:
    torch.manual_seed(0)
    shape = LayerShape(width=8, heads=2, feed_forward=16, rotary=positions == "rotary")
    return TokenEmbedding(11, 8, positions=positions, longest=5), Decoder(2, shape).eval()


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_continuation_gives_what_the_decoder_gives_for_all_tokens(positions: str) -> None:
    embedding, decoder = network(positions)
    memory = torch.randn(3, 6, 8)
    expected = decoder(embedding(NUMBERS), memory, memory_present=MEMORY_PRESENT)
    continuation = Continuation(decoder, memory, MEMORY_PRESENT)
    steps = [continuation.step(embedding(column.unsqueeze(1), place)) for place, column in enumerate(NUMBERS.t())]
    assert continuation.length == 5
    torch.testing.assert_close(torch.cat(steps, 1), expected, rtol=1e-5, atol=1e-6)


def test_it_goes_on_from_the_sequences_that_are_selected() -> None:
    embedding, decoder = network("learned")
    memory = torch.randn(1, 6, 8)
    rows = torch.tensor([2, 2, 0])
    continuation = Continuation(decoder, memory, MEMORY_PRESENT[:1])
    for place in range(3):
        continuation.step(embedding(NUMBERS[:, place : place + 1], place))
    continuation.select(rows)
    step = continuation.step(embedding(NUMBERS[:, 3:4], 3))
    whole = torch.cat([NUMBERS[rows, :3], NUMBERS[:, 3:4]], 1)
    expected = decoder(embedding(whole), memory[:, :4].expand(3, -1, -1))
    torch.testing.assert_close(step[:, 0], expected[:, 3], rtol=1e-5, atol=1e-6)
