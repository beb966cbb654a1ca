"""Tokenizers: what comes back of a text, what is unknown, and that a vocabulary follows from the texts alone."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.text.hyperparameters import KINDS, Kind
from objectives.text.tokenizers import BOS, EOS, MASK, PAD, REPLACEMENT, SPECIAL, UNKNOWN, Tokenizer

TEXTS = [
    "the cat sat on the mat, the dog sat on the log",
    "Ein Häuschen im Grünen; noch ein Häuschen!",
    "שלום עולם, مرحبا بالعالم",
    "Привет, мир",
    "日本語の文 und mehr",
    "👩‍👩‍👧 and 🎉",
]
ODD = [
    "",
    " ",
    "\n\t ",
    "👩‍👩‍👧‍👦 family",
    "עברית ו־العربية \u202e mixed",
    "e\u0301 and é",
    "\x00 nul",
    "[PAD] [MASK] [UNK]",
    "##ing ▁ Ġ",
    "xyzzy 你好",
]
TOKENIZERS = {kind: Tokenizer.train(TEXTS, kind=kind, size=300) for kind in KINDS}

anything = st.one_of(st.text(), st.sampled_from(ODD), st.text(st.sampled_from("the cat\n ▁#[PAD]é👩‍")))
unhurried = settings(deadline=None, max_examples=60)  # the machine may be busy
kinds = pytest.mark.parametrize("kind", KINDS)


def back(kind: Kind, text: str) -> str:
    tokenizer = TOKENIZERS[kind]
    (decoded,) = tokenizer.decode(tokenizer.encode([text], bos=True, eos=True))
    return decoded


@unhurried
@given(anything)
def test_bytes_give_back_any_text(text: str) -> None:
    assert back("bpe", text) == text
    assert UNKNOWN not in TOKENIZERS["bpe"].tokens([text])[0]


@unhurried
@given(anything)
def test_characters_give_back_all_but_those_never_seen(text: str) -> None:
    normal = unicodedata.normalize("NFC", text)
    seen = set(TOKENIZERS["character"].vocabulary)
    assert back("character", text) == "".join(c if c in seen else REPLACEMENT for c in normal)


@unhurried
@given(st.text(st.sampled_from(sorted(set("".join(TEXTS)) - {"▁"}))))
def test_unigram_gives_back_a_text_of_known_characters_but_for_a_first_space(text: str) -> None:
    assert back("unigram", text) == unicodedata.normalize("NFC", text).removeprefix(" ")


@unhurried
@given(st.lists(st.sampled_from(["the", "cat", "sat", "on", "dog", "log", "mat"])))
def test_words_and_their_pieces_give_back_known_words(words: list[str]) -> None:
    assert back("word", "  ".join(words)) == " ".join(words)
    assert back("wordpiece", "  ".join(words)) == " ".join(words)


@kinds
@unhurried
@given(text=anything)
def test_no_text_spells_a_special_token(kind: Kind, text: str) -> None:
    assert not set(TOKENIZERS[kind].tokens([text])[0]) & {PAD, MASK, BOS, EOS}


@kinds
@settings(unhurried, max_examples=25)
@given(texts=st.lists(anything, max_size=5), size=st.integers(16, 400), lowercase=st.booleans())
def test_any_texts_train_a_vocabulary_of_at_most_its_size(
    kind: Kind, texts: list[str], size: int, lowercase: bool
) -> None:
    tokenizer = Tokenizer.train(texts, kind=kind, size=size, lowercase=lowercase)
    assert len(tokenizer) <= (max(size, 256 + len(SPECIAL)) if kind == "bpe" else size)
    assert tokenizer.vocabulary[: len(SPECIAL)] == SPECIAL
    assert len(set(tokenizer.vocabulary)) == len(tokenizer)
    numbers = tokenizer.encode([*texts, "and more"])
    assert numbers.min() >= 0
    assert numbers.max() < len(tokenizer)


@kinds
def test_a_tokenizer_is_kept_as_json(kind: Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    again = Tokenizer.from_json(json.loads(json.dumps(tokenizer.to_json())))
    assert again == tokenizer
    assert again.tokens(TEXTS + ODD) == tokenizer.tokens(TEXTS + ODD)


def test_a_word_never_seen_is_unknown_and_its_neighbours_are_not() -> None:
    assert back("word", "the xyzzy cat") == f"the {REPLACEMENT} cat"
    assert back("wordpiece", "the cæt") == f"the {REPLACEMENT}"


def test_special_tokens_that_a_text_spells_out_come_back() -> None:
    assert back("unigram", "the [cat]") == f"the {REPLACEMENT}cat{REPLACEMENT}"
    assert back("bpe", "[PAD][EOS] x") == "[PAD][EOS] x"


def test_lower_case_is_the_same_where_it_is_asked_for() -> None:
    for kind in KINDS:
        tokenizer = Tokenizer.train(TEXTS, kind=kind, size=300, lowercase=True)
        assert tokenizer.tokens(["HÄUSCHEN"]) == tokenizer.tokens(["häuschen"])
        assert UNKNOWN not in tokenizer.tokens(["HÄUSCHEN"])[0]


def test_a_batch_is_padded_at_its_end_and_framed() -> None:
    tokenizer = TOKENIZERS["character"]
    batch = tokenizer.encode(["cat", ""], bos=True, eos=True)
    assert batch.tolist() == [[BOS, *tokenizer.tokens(["cat"])[0], EOS], [BOS, EOS, PAD, PAD, PAD]]
    assert tokenizer.encode([""]).tolist() == [[PAD]]
    assert tokenizer.encode([]).shape == (0, 1)


def test_what_is_cut_keeps_its_last_token() -> None:
    tokenizer = TOKENIZERS["character"]
    assert tokenizer.encode(["the cat"], max_length=5, bos=True, eos=True).tolist() == [
        [BOS, *tokenizer.tokens(["the"])[0], EOS]
    ]
    assert tokenizer.encode(["the cat"], max_length=3).shape == (1, 3)


def test_decoding_ends_at_the_end() -> None:
    tokenizer = TOKENIZERS["character"]
    (cat,) = tokenizer.tokens(["cat"])
    assert tokenizer.decode([[BOS, *cat, EOS, *cat], [PAD, MASK]]) == ["cat", ""]


@kinds
def test_a_very_long_text_is_encoded(kind: Kind) -> None:
    tokenizer = TOKENIZERS[kind]
    assert tokenizer.encode(["the cat " * 50_000 + "x" * 100_000], max_length=128).shape == (1, 128)


def test_a_lone_surrogate_is_a_question_mark() -> None:
    assert back("bpe", "a\ud800b") == "a?b"


def test_unknown_kinds_and_tiny_vocabularies_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown kind of tokenizer 'syllable'"):
        Tokenizer.train(TEXTS, kind="syllable", size=300)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vocabulary of 5 is too small"):
        Tokenizer.train(TEXTS, kind="word", size=5)


@kinds
def test_another_process_finds_the_same_tokenizer(kind: Kind) -> None:
    code = (
        "import json, sys\n"
        "from objectives.text.tokenizers import Tokenizer\n"
        "texts, kind = json.load(sys.stdin)\n"
        "print(json.dumps(Tokenizer.train(texts, kind=kind, size=120).to_json()))\n"
    )
    texts = [f"{a}{b}{c} {c}{a}" for a in ("ka", "lo", "mü", "ri") for b in ("st", "nd", "") for c in ("en", "а", "er")]
    found = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps([texts, kind]), capture_output=True, text=True, check=True
    )
    assert json.loads(found.stdout) == Tokenizer.train(texts, kind=kind, size=120).to_json()
