"""The built-in study of pronunciation: real words, and a simple answer that the network beats."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from objectives.text.tokenizers import padded
from objectives.translation import Translation
from objectives.translation.cmudict import load_cmudict
from tests.benchmarks.simple_answers import said_by_letters
from tests.objectives.translation.kit import PARAMS, recipe
from tuner import study_file
from tuner.edits import edit_distances
from tuner.loading import LoadedTrainable, load_objective
from tuner.spec import parse_spec
from tuner.training import Cohort, Member

WORDS, EPOCHS = 3000, 8


def compared(said: Sequence[str], right: Sequence[str]) -> tuple[float, float]:
    """The share of words whose every phone is right, and the edits that mend them, a phone."""
    phones = {phone: index for index, phone in enumerate({p for text in (*said, *right) for p in text.split()})}

    def batch(texts: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [[phones[phone] for phone in text.split()] for text in texts]
        return padded(rows), torch.tensor([len(row) for row in rows])

    edits = edit_distances(*batch(said), *batch(right))
    return float((edits == 0).double().mean()), int(edits.sum()) / sum(len(text.split()) for text in right)


def test_the_dictionary_says_each_word_once_without_stress() -> None:
    frame = load_cmudict()
    said = dict(frame.iter_rows())
    assert len(said) == frame.height > 100_000
    assert said["cat"] == "K AE T"
    assert said["read"] == "R EH D"  # the first of two
    assert len({phone for text in said.values() for phone in text.split()}) == 39


def test_the_study_is_valid_and_searches_what_a_course_teaches() -> None:
    values, where = study_file.read("pronunciation")
    spec = parse_spec(values, where=where)
    loaded = load_objective(spec, where=where)
    assert isinstance(loaded, LoadedTrainable)
    assert isinstance(loaded.trainable, Translation)
    asked = {"learning_rate", "optimizer", "batch_size", "l1", "l2", "encoder_layers", "decoder_layers", "heads"}
    assert asked | {"head_width", "feed_forward", "dropout", "warmup"} <= set(loaded.space.searched)
    loaded.trainable.load()
    told = loaded.trainable.describe()
    assert told["rows"] == {"training": 4800, "validation": 1600, "test": 1600}
    assert told["notes"] == []


def test_the_network_beats_saying_letter_by_letter() -> None:
    """Seen: 0.175 of the words and 0.32 edits a phone, against 0.045 and 0.50."""
    objective = Translation(
        Translation.Options(beam=1, decoded=600), Translation.Data(source="cmudict", limit=WORDS), seed=0
    )
    dataset = objective.load()
    params = PARAMS | {"heads": 4, "head_width": 16, "source_vocabulary": 64, "target_vocabulary": 64}
    member = Member.build(
        number=0,
        recipe=recipe(epochs=EPOCHS, batch_size=32, schedule="one_cycle", gradient_clip=1.0),
        network=lambda: objective.network(params),
        loss=objective.loss(params),
        dataset=objective.encode(dataset, params),
    )
    cohort = Cohort(dataset)
    cohort.join(member)
    while len(cohort):
        cohort.epoch()
    scores = objective.final_scores(member.module, objective.encode(dataset, params))
    training, validation = (objective.prepared.parts[part] for part in ("training", "validation"))
    right, edits = compared(said_by_letters(training, validation.sources), validation.targets)
    assert right == pytest.approx(0.045, abs=0.02)
    assert edits == pytest.approx(0.50, abs=0.03)
    assert scores["decoded_exact_match"] > right + 0.06
    assert scores["decoded_edit_distance"] < edits - 0.1
