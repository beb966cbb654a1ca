"""From texts to token numbers and back. Vocabularies are found in the texts a tokenizer is trained on.

========== =========================================== ==========================================================
kind       a token is                                  what ``decode(encode(text))`` gives
========== =========================================== ==========================================================
word       a word, or a run of punctuation             known words with one space between them, ``�`` for others
character  a character                                 the text, ``�`` for characters never seen
bpe        bytes that often stand together             the text, whatever it holds: nothing is ever unknown
wordpiece  a word's beginning, or a ``##`` later part  known words with one space between them, ``�`` for a word
                                                       that the pieces cannot spell
unigram    the likeliest pieces of a word              the text less a space at its beginning, each white space a
                                                       space, ``�`` for (runs of) characters never seen
========== =========================================== ==========================================================

All but bpe bring letters and accents into one form first (Unicode NFC), so what comes back is that form. With
``lowercase`` what comes back is in lower case. A lone surrogate, which is no character, becomes ``?``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from objectives.text.hyperparameters import KINDS, LEAST_VOCABULARY, Kind

# A worker is a process with a core of its own, and the library warns where a process that used its threads forks.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

if TYPE_CHECKING:
    from torch import Tensor

SPECIAL = ("[PAD]", "[UNK]", "[MASK]", "[BOS]", "[EOS]")
"""The first tokens of every vocabulary. A text that spells one of them out is a text like any other."""
PAD, UNKNOWN, MASK, BOS, EOS = range(len(SPECIAL))

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
"""What an unknown token is decoded to."""
ALPHABET_SHARE = 0.75
"""Most of a sub-word vocabulary that single characters may take; the rarest are unknown."""
LONGEST_WORD = 200
"""WordPiece takes a longer word for unknown: its time grows with the square."""
_SCORE_DIGITS = 6


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A trained tokenizer: plain values, kept as JSON."""

    kind: Kind
    vocabulary: tuple[str, ...]
    """The tokens by their numbers; the first are ``SPECIAL``. Those of bpe stand for bytes."""
    lowercase: bool = False
    merges: tuple[tuple[str, str], ...] = ()
    """Of bpe: the pairs of tokens that are joined, the first ones first."""
    scores: tuple[float, ...] = ()
    """Of unigram: the logarithm of each token's probability."""

    def __len__(self) -> int:
        return len(self.vocabulary)

    @classmethod
    def train(cls, texts: Iterable[str], *, kind: Kind, size: int, lowercase: bool = False) -> Tokenizer:
        """Return a tokenizer of at most ``size`` tokens (bpe: at least one for each byte) that ``texts`` call for.

        It follows from the texts alone: every worker finds the same one.

        Raises:
            ValueError: for an unknown kind, and for a size that has no room for a character beside the special ones.
        """
        if kind not in KINDS:
            raise ValueError(f"unknown kind of tokenizer {kind!r}; choose one of {', '.join(KINDS)}")
        if size < LEAST_VOCABULARY:
            raise ValueError(f"a vocabulary of {size} is too small; the least is {LEAST_VOCABULARY}")
        known = [_storable(text) for text in texts]
        if kind == "bpe":
            return _train_bpe(known, size, lowercase)
        if kind == "unigram":
            return _train_unigram(known, size, lowercase)
        if kind == "wordpiece":
            return _train_wordpiece(known, size, lowercase)
        return _train_whole(known, kind, size, lowercase)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each text's tokens, without any special ones but ``UNKNOWN``."""
        encodings = self._library.encode_batch_fast([_storable(text) for text in texts], add_special_tokens=False)
        return [encoding.ids for encoding in encodings]

    def encode(
        self, texts: Sequence[str], *, max_length: int | None = None, bos: bool = False, eos: bool = False
    ) -> Tensor:
        """Return the texts as one batch ``[N, L]`` (int64), padded at the end with ``PAD``.

        A text of more than ``max_length`` tokens is cut; ``bos`` and ``eos`` add a first and a last token, which count.
        Without them an empty text is all padding.
        """
        return padded(self.tokens(texts), max_length=max_length, bos=bos, eos=eos)

    def decode(self, rows: Tensor | Sequence[Sequence[int]]) -> list[str]:
        """Return the text of each row ``[L]`` of token numbers, up to its first ``EOS``."""
        listed: Sequence[Sequence[int]] = rows if isinstance(rows, Sequence) else rows.tolist()
        return [self._text(row) for row in listed]

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "kind": self.kind,
            "lowercase": self.lowercase,
            "vocabulary": list(self.vocabulary),
            "merges": [list(pair) for pair in self.merges],
            "scores": list(self.scores),
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> Tokenizer:
        """Return what :meth:`to_json` wrote."""
        return cls(
            kind=state["kind"],
            lowercase=state["lowercase"],
            vocabulary=tuple(state["vocabulary"]),
            merges=tuple((first, second) for first, second in state["merges"]),
            scores=tuple(state["scores"]),
        )

    @cached_property
    def _library(self) -> tokenizers.Tokenizer:
        """The tokenizer of the library. It is told of no special tokens, so it never finds them in a text."""
        numbers = {token: number for number, token in enumerate(self.vocabulary)}
        unknown = SPECIAL[UNKNOWN]
        if self.kind == "bpe":
            model: Any = models.BPE(numbers, list(self.merges))
        elif self.kind == "unigram":
            model = models.Unigram(list(zip(self.vocabulary, self.scores, strict=True)), UNKNOWN, False)
        elif self.kind == "wordpiece":
            model = models.WordPiece(numbers, unk_token=unknown, max_input_chars_per_word=LONGEST_WORD)
        else:
            model = models.WordLevel(numbers, unk_token=unknown)
        return _pipeline(model, self.kind, self.lowercase)

    def _text(self, row: Sequence[int]) -> str:
        numbers = list(row)
        if EOS in numbers:
            numbers = numbers[: numbers.index(EOS)]
        shown = [number for number in numbers if number not in (PAD, MASK, BOS)]
        tokens = [REPLACEMENT if number == UNKNOWN else self.vocabulary[number] for number in shown]
        return _joined(tokens, self.kind)


def padded(
    rows: Sequence[Sequence[int]], *, max_length: int | None = None, bos: bool = False, eos: bool = False
) -> Tensor:
    """Return rows of token numbers as one batch ``[N, L]`` (int64): see :meth:`Tokenizer.encode`."""
    import torch

    room = None if max_length is None else max(0, max_length - bos - eos)
    framed = [[BOS] * bos + list(row[:room]) + [EOS] * eos for row in rows]
    lengths = np.array([len(row) for row in framed], dtype=np.int64)
    batch = np.full((len(framed), max(1, lengths.max(initial=0))), PAD, dtype=np.int64)
    places = np.arange(batch.shape[1]) < lengths[:, None]
    batch[places] = np.fromiter((number for row in framed for number in row), np.int64, int(lengths.sum()))
    return torch.from_numpy(batch)


def _pipeline(model: Any, kind: Kind, lowercase: bool) -> tokenizers.Tokenizer:
    """The library's tokenizer of a kind around a model, trained or not."""
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.normalizer = _normalizer(kind, lowercase)
    tokenizer.pre_tokenizer = _PRE_TOKENIZERS[kind]
    return tokenizer


def _normalizer(kind: Kind, lowercase: bool) -> normalizers.Normalizer:
    steps: list[Any] = [normalizers.NFC()] if kind != "bpe" else []
    if kind in ("word", "wordpiece"):  # Chinese puts no spaces between its words
        steps.append(
            normalizers.BertNormalizer(
                clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
            )
        )
    if kind == "unigram":
        steps.append(normalizers.Replace(Regex(r"\s"), " "))
    if lowercase:
        steps.append(normalizers.Lowercase())
    return normalizers.Sequence(steps)


_PRE_TOKENIZERS: dict[Kind, Any] = {
    "word": pre_tokenizers.Whitespace(),
    "character": pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated"),
    "bpe": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "wordpiece": pre_tokenizers.BertPreTokenizer(),
    "unigram": pre_tokenizers.Sequence([pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]),
}
"""They cut at punctuation (or at every character, or know bytes alone), so no text holds ``[PAD]`` as one piece."""


def _joined(tokens: list[str], kind: Kind) -> str:
    if kind == "word":
        return " ".join(tokens)
    if kind == "character":
        return "".join(tokens)
    text: str = _DECODERS[kind].decode(tokens)
    return text


_DECODERS: dict[Kind, Any] = {
    "bpe": decoders.ByteLevel(),
    "wordpiece": decoders.WordPiece(cleanup=False),
    "unigram": decoders.Metaspace(),
}


def _storable(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


def _train_whole(texts: list[str], kind: Kind, size: int, lowercase: bool) -> Tokenizer:
    """Words or characters, the most frequent ones."""
    library = _pipeline(models.WordLevel(unk_token=SPECIAL[UNKNOWN]), kind, lowercase)
    trainer = trainers.WordLevelTrainer(vocab_size=size, special_tokens=list(SPECIAL), show_progress=False)
    library.train_from_iterator(texts, trainer)
    return Tokenizer(kind=kind, vocabulary=_by_number(library), lowercase=lowercase)


def _train_bpe(texts: list[str], size: int, lowercase: bool) -> Tokenizer:
    """Byte-pair encoding: Sennrich et al. 2016, arXiv:1508.07909, over bytes."""
    library = _pipeline(models.BPE(), "bpe", lowercase)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    merges = tuple((first, second) for first, second in _state(library)["merges"])
    return Tokenizer(kind="bpe", vocabulary=_by_number(library), lowercase=lowercase, merges=merges)


def _train_wordpiece(texts: list[str], size: int, lowercase: bool) -> Tokenizer:
    """WordPiece: Wu et al. 2016, arXiv:1609.08144, section 4.1; as the library trains it, by the merges of bpe."""
    library = _pipeline(models.WordPiece(unk_token=SPECIAL[UNKNOWN]), "wordpiece", lowercase)
    alphabet = _alphabet(texts, library, int((size - len(SPECIAL)) * ALPHABET_SHARE) // 2)
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        # named here, the later parts are numbered as listed, not as a hash has them
        special_tokens=[*SPECIAL, *(f"##{character}" for character in alphabet)],
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
        show_progress=False,
    )
    library.train_from_iterator(texts, trainer)
    return Tokenizer(kind="wordpiece", vocabulary=_by_number(library), lowercase=lowercase)


def _train_unigram(texts: list[str], size: int, lowercase: bool) -> Tokenizer:
    """The unigram language model: Kudo 2018, arXiv:1804.10959."""
    library = _pipeline(models.Unigram(), "unigram", lowercase)
    kept = _alphabet(texts, library, int((size - len(SPECIAL)) * ALPHABET_SHARE))
    normal = [library.normalizer.normalize_str(text) for text in texts]
    rare = {ord(character): None for character in set().union(*normal) - {*kept, " "}}
    trainer = trainers.UnigramTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), unk_token=SPECIAL[UNKNOWN], show_progress=False
    )
    library.train_from_iterator([text.translate(rare) for text in normal], trainer)
    scores = {piece: score for piece, score in _state(library)["vocab"] if piece not in SPECIAL}
    return _unigram_of(scores, lowercase)


def _unigram_of(scores: Mapping[str, float], lowercase: bool) -> Tokenizer:
    """Return the tokenizer of pieces and their scores, less what the library's trainer leaves to chance.

    It adds in the order of a hash, so scores differ in their last digits and pieces in their order; and characters
    that are kept only because none may be missing get scores in any order below the least.
    """
    least = min((score for piece, score in scores.items() if len(piece) > 1), default=0.0)
    pieces = sorted(scores, key=lambda piece: (len(piece), piece))
    rounded = [round(max(scores[piece], least), _SCORE_DIGITS) for piece in pieces]
    return Tokenizer(
        kind="unigram",
        vocabulary=(*SPECIAL, *pieces),
        lowercase=lowercase,
        scores=(*[round(least, _SCORE_DIGITS)] * len(SPECIAL), *rounded),
    )


def _alphabet(texts: list[str], library: tokenizers.Tokenizer, most: int) -> list[str]:
    """Return the characters of the normalised texts, white space aside, at most so many: the most frequent ones."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(library.normalizer.normalize_str(text))
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [character for character, _ in ranked if not character.isspace()][: max(1, most)]


def _by_number(library: tokenizers.Tokenizer) -> tuple[str, ...]:
    numbers = library.get_vocab()
    return tuple(sorted(numbers, key=numbers.__getitem__))


def _state(library: tokenizers.Tokenizer) -> dict[str, Any]:
    import json

    state: dict[str, Any] = json.loads(library.to_str())["model"]
    return state
