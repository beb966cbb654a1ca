"""Positional encodings are their formulas, and make a network see the order of its tokens."""

from __future__ import annotations

import math

import pytest
import torch

from objectives.transformer.attention import MultiHeadAttention
from objectives.transformer.embedding import TokenEmbedding
from objectives.transformer.positions import LearnedPositions, SinusoidalPositions, rotated, sinusoids


@pytest.mark.parametrize("width", [1, 7, 8])
def test_sinusoids_are_the_papers_formula(width: int) -> None:
    expected = [
        [(math.cos if i % 2 else math.sin)(t / 10_000 ** ((i - i % 2) / width)) for i in range(width)]
        for t in range(20)
    ]
    torch.testing.assert_close(sinusoids(20, width, torch.device("cpu")), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("width", [4, 5])
def test_rotated_pairs_are_products_of_complex_numbers(width: int) -> None:
    heads = torch.randn(2, 3, 6, width, dtype=torch.float64)
    expected = heads.clone()
    for t in range(6):
        for i in range(width // 2):
            turn = complex(math.cos(angle := t / 10_000 ** (2 * i / (width - width % 2))), math.sin(angle))
            pair = torch.complex(heads[:, :, t, 2 * i], heads[:, :, t, 2 * i + 1]) * turn
            expected[:, :, t, 2 * i], expected[:, :, t, 2 * i + 1] = pair.real, pair.imag
    torch.testing.assert_close(rotated(heads), expected, rtol=1e-6, atol=1e-6)


def test_rotary_attention_depends_on_distances_alone() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(8, 2, rotary=True)
    tokens = torch.randn(1, 4, 8)
    shifted = torch.cat([torch.randn(1, 3, 8), tokens], 1)
    hidden = torch.tensor([[False] * 3 + [True] * 4])
    torch.testing.assert_close(attention(shifted, shifted, hidden)[:, 3:], attention(tokens, tokens))


@pytest.mark.parametrize("positions", ["sinusoidal", "learned"])
def test_an_embedding_adds_the_position_to_the_token(positions: str) -> None:
    embedding = TokenEmbedding(10, 6, positions=positions, longest=8)
    numbers = torch.tensor([[3, 3, 1], [4, 0, 3]])
    vectors = embedding(numbers)
    assert vectors.shape == (2, 3, 6)
    added = vectors - embedding.weight[numbers] * 6**0.5
    torch.testing.assert_close(added[0], added[1])
    assert not torch.allclose(added[0, 0], added[0, 1])


@pytest.mark.parametrize("positions", ["rotary", "none"])
def test_an_embedding_without_positions_is_that_of_the_tokens(positions: str) -> None:
    embedding = TokenEmbedding(10, 6, positions=positions)
    numbers = torch.tensor([[3, 3, 1]])
    torch.testing.assert_close(embedding(numbers), embedding.weight[numbers] * 6**0.5)


def test_an_embedding_has_the_variance_of_its_positions() -> None:
    torch.manual_seed(0)
    vectors = TokenEmbedding(1000, 64, positions="none")(torch.arange(1000).unsqueeze(0))
    assert vectors.std().item() == pytest.approx(1, abs=0.02)
    assert LearnedPositions(1000, 64).table.std().item() == pytest.approx(1, abs=0.02)


def test_learned_positions_end_somewhere_and_sinusoids_nowhere() -> None:
    with pytest.raises(ValueError, match="learned for 4 tokens, got a sequence of 5"):
        LearnedPositions(4, 6)(torch.zeros(1, 5, 6))
    assert SinusoidalPositions()(torch.zeros(1, 5000, 6)).isfinite().all()


def test_an_unknown_kind_of_positions_is_refused() -> None:
    with pytest.raises(ValueError, match="one of sinusoidal, learned, rotary, none, got 'sine'"):
        TokenEmbedding(10, 6, positions="sine")
