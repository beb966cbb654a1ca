"""Simple answers to the questions of built-in studies, which a tuned network should beat.

They learn from the training part; what they choose, they choose by the validation part.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import one_hot, pad

from objectives.text import Text
from objectives.text.tokenizers import PAD
from objectives.translation import Translation
from objectives.translation.encoding import TARGET_TOKENIZER
from objectives.translation.preparing import Pairs
from tuner.trainable import Trainable
from tuner.training import Dataset, Part

Answer = Callable[[Trainable, Dataset], Tensor]
"""Returns the outputs ``[N, …]`` for the test part, such as the objective's network would give."""
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)
"""Of which a linear model's inverse penalty is chosen."""


def majority(_: Trainable, dataset: Dataset) -> Tensor:
    """Call every row of the commonest class."""
    classes = int(dataset.training.targets.max()) + 1
    counts = torch.bincount(dataset.training.targets, minlength=classes)
    return counts.double().expand(len(unseen(dataset)), -1)


def mean(_: Trainable, dataset: Dataset) -> Tensor:
    """Say the mean of every target for every row."""
    return dataset.training.targets.mean(0).expand(len(unseen(dataset)), -1)


def flat(part: Part) -> Tensor:
    """Return the first inputs as ``[N, F]``."""
    return part.inputs[0].flatten(1).double()


def logistic_regression(_: Trainable, dataset: Dataset, *, strengths: Sequence[float] = STRENGTHS) -> Tensor:
    """Fit scikit-learn's on the flattened, standardised inputs; its penalty is chosen by the validation part."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = []
    for strength in strengths:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        model.fit(flat(dataset.training), dataset.training.targets)
        models.append((model.score(flat(dataset.validation), dataset.validation.targets), model))
    best = max(models, key=lambda scored: scored[0])[1]
    return torch.tensor(best.predict_log_proba(flat(unseen(dataset))))


def linear_regression(_: Trainable, dataset: Dataset) -> Tensor:
    """Fit scikit-learn's ridge regression on the inputs; its penalty is chosen by the validation part."""
    from sklearn.linear_model import Ridge

    models = []
    for strength in STRENGTHS:
        model = Ridge(alpha=1 / strength).fit(flat(dataset.training), dataset.training.targets)
        models.append((model.score(flat(dataset.validation), dataset.validation.targets), model))
    best = max(models, key=lambda scored: scored[0])[1]
    return torch.tensor(best.predict(flat(unseen(dataset)))).reshape(unseen(dataset).targets.shape)


def of_texts(**counted: Any) -> Callable[[Trainable, Dataset], Tensor]:
    """Return logistic regression on TF-IDF of what is ``counted``; its penalty is chosen by the validation part."""

    def answer(trainable: Trainable, _: Dataset) -> Tensor:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        assert isinstance(trainable, Text)
        texts, classes = trainable.texts.texts, trainable.encoded_targets()
        models = []
        for strength in (1.0, 10.0, 100.0):
            model = make_pipeline(TfidfVectorizer(**counted), LogisticRegression(C=strength, max_iter=500))
            model.fit(texts["training"], classes["training"])
            models.append((model.score(texts["validation"], classes["validation"]), model))
        best = max(models, key=lambda scored: scored[0])[1]
        return torch.tensor(best.predict_log_proba(texts["test"]))

    return answer


def letter_by_letter(trainable: Trainable, dataset: Dataset) -> Tensor:
    """Return the logits ``[N, T, V]`` of words said as :func:`said_by_letters` does."""
    assert isinstance(trainable, Translation)
    parts, tokenizer = trainable.prepared.parts, dataset.info[TARGET_TOKENIZER]
    tokens = tokenizer.encode(said_by_letters(parts["training"], parts["test"].sources), eos=True)
    longest = unseen(dataset).targets.shape[1]
    tokens = pad(tokens, (0, max(0, longest - tokens.shape[1])), value=PAD)[:, :longest]
    return one_hot(tokens, len(tokenizer)).double()


def said_by_letters(training: Pairs, words: Sequence[str]) -> list[str]:
    """Say each letter as it is most often said in training words of as many phones as letters."""
    heard: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for word, said in zip(training.sources, training.targets, strict=True):
        phones = said.split()
        if len(phones) == len(word):
            for letter, phone in zip(word, phones, strict=True):
                heard[letter][phone] += 1
    return [" ".join(heard[letter].most_common(1)[0][0] for letter in word if letter in heard) for word in words]


def unseen(dataset: Dataset) -> Part:
    """Return the part that the search has not seen."""
    assert dataset.test is not None
    return dataset.test
