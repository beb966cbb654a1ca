"""Decoding one token after the other: what the layers have made of those before is kept, not computed again."""

from __future__ import annotations

from torch import Tensor

from objectives.transformer.attention import KeysValues, visible
from objectives.transformer.decoder import Decoder


class Continuation:
    """What a decoder has read so far, in evaluation mode, and how it goes on.

    The tokens that it gives are those that the decoder gives for all of them at once. Of each source K sequences go on
    beside each other.

    Shape:
        memory ``[B, S, W]``, memory_present ``[B, S]``; tokens ``[B × K, 1, W]``.
    """

    def __init__(self, decoder: Decoder, memory: Tensor, memory_present: Tensor) -> None:
        self.length = 0
        """Tokens that it has read."""
        self._decoder = decoder
        self._memory = [layer.cross_attention.keys_values(memory) for layer in decoder.in_order()]
        self._memory_visible = visible(memory_present, 1, causal=False)
        self._read: list[KeysValues | None] = [None] * len(self._memory)

    def step(self, token: Tensor) -> Tensor:
        """Read the next token of each sequence, which is padding of none that goes on; return them decoded."""
        for index, layer in enumerate(self._decoder.in_order()):
            token, self._read[index] = layer.step(
                token, self._read[index], self._memory[index], self._memory_visible, place=self.length
            )
        self.length += 1
        normal: Tensor = self._decoder.norm(token)
        return normal

    def select(self, rows: Tensor) -> None:
        """Go on from the sequences of these numbers ``[B × K]``, each in a place of its own source."""
        self._read = [read and (read[0].index_select(0, rows), read[1].index_select(0, rows)) for read in self._read]
