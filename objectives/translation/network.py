"""The full Transformer: an encoder reads the source, a decoder writes the target token by token."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import pad

from objectives.text.tokenizers import PAD
from objectives.transformer.continuation import Continuation
from objectives.transformer.decoder import Decoder
from objectives.transformer.embedding import TokenEmbedding
from objectives.transformer.encoder import Encoder
from objectives.transformer.padding import without_padding
from objectives.transformer.shape import LayerShape


class Transformer(nn.Module):
    """Encoder, decoder and output layer (Vaswani et al. 2017, figure 1). Token ``PAD`` is padding on both sides.

    With ``shared`` both sides have one embedding; with ``tied`` the output layer has the weights of the target's.

    Shape:
        source ``[B, S]``, the target's tokens so far ``[B, T]`` → logits of each next token ``[B, T, V]``.
    """

    def __init__(
        self,
        *,
        source_vocabulary: int,
        target_vocabulary: int,
        shape: LayerShape,
        encoder_layers: int,
        decoder_layers: int,
        positions: str = "sinusoidal",
        longest: int = 512,
        shared: bool = False,
        tied: bool = True,
    ) -> None:
        super().__init__()
        if shared and source_vocabulary != target_vocabulary:
            raise ValueError(f"vocabularies of {source_vocabulary} and {target_vocabulary} tokens cannot be shared")

        def embedding(vocabulary: int) -> TokenEmbedding:
            return TokenEmbedding(vocabulary, shape.width, positions=positions, longest=longest, dropout=shape.dropout)

        self.source = embedding(source_vocabulary)
        self.encoder = Encoder(encoder_layers, shape)
        self.target = self.source if shared else embedding(target_vocabulary)
        self.decoder = Decoder(decoder_layers, shape)
        self.output = nn.Linear(shape.width, target_vocabulary)
        nn.init.xavier_uniform_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        if tied:
            self.output.weight = self.target.tokens.weight

    def layers(self) -> list[list[str]]:
        """Return the names of the parameters layer by layer, from the source's embedding to the output layer."""
        names = {id(parameter): name for name, parameter in self.named_parameters()}
        parts: list[list[nn.Module]] = [
            [self.source],
            *([layer] for layer in self.encoder.layers),
            [self.encoder.norm, self.target],
            *([layer] for layer in self.decoder.layers),
            [self.decoder.norm, self.output],
        ]
        layers = [
            [names.pop(id(one)) for module in part for one in module.parameters() if id(one) in names] for part in parts
        ]
        return [layer for layer in layers if layer]

    def encode(self, source: Tensor) -> tuple[Tensor, Tensor]:
        """Return the encoded source ``[B, s, W]`` and where it is no padding ``[B, s]``; s is S, or less padding."""
        source = without_padding(source, PAD)
        present = source != PAD
        return self.encoder(self.source(source), present), present

    def decode(self, tokens: Tensor, memory: Tensor, memory_present: Tensor) -> Tensor:
        """Return the decoded tokens ``[B, T, W]``, before the output layer."""
        decoded: Tensor = self.decoder(self.target(tokens), memory, tokens != PAD, memory_present)
        return decoded

    def begin(self, memory: Tensor, memory_present: Tensor) -> Continuation:
        """Return what ``following`` begins with, for what ``encode`` gave."""
        return Continuation(self.decoder, memory, memory_present)

    def following(self, tokens: Tensor, before: Continuation) -> Tensor:
        """Return the logits of what follows one more token of each target, in evaluation mode: ``[N]`` → ``[N, V]``."""
        decoded = before.step(self.target(tokens.unsqueeze(1), before.length))
        logits: Tensor = self.output(decoded.squeeze(1))
        return logits

    def forward(self, source: Tensor, tokens: Tensor) -> Tensor:
        """Return the logits of the token after each of ``tokens``; 0 where all are padding and nothing was decoded."""
        begun = without_padding(tokens, PAD)
        logits: Tensor = self.output(self.decode(begun, *self.encode(source)))
        cut = tokens.shape[1] - begun.shape[1]
        return pad(logits, (0, 0, 0, cut)) if cut else logits
