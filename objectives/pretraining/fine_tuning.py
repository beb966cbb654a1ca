"""Fine-tuning: a network that judges texts begins with a pre-trained encoder, and takes its tokenizer and its shape."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from objectives.pretraining.pretraining import TOKENIZER
from objectives.text.hyperparameters import NETWORK
from objectives.text.hyperparameters import TOKENIZER as TOKENIZERS
from tuner.errors import DataError
from tuner.hyperparameters import Hyperparameter
from tuner.models.naming import WEIGHTS, open_model, shown
from tuner.space import Choices, Fixed, Parameter, Range, Scalar

if TYPE_CHECKING:
    from torch import nn

    from objectives.text.tokenizers import Tokenizer

_FREE = ("dropout", "pooling")
"""What of the network is left to fine-tuning."""
_USUAL: Mapping[str, Scalar] = {"frozen": 0, "layer_decay": 0.9}
"""What is usual of what is searched here alone."""
_TAKEN = ("depth", "heads", "head_width", "feed_forward", "activation", "positions")
_TAKEN_OF_TOKENS = ("tokenizer", "vocabulary", "lowercase")


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """A pre-trained encoder that was kept."""

    where: str
    """What to call it in messages."""
    params: Mapping[str, Any]
    """The hyperparameters that it fixes, under the names that :class:`objectives.text.Text` gives them."""
    tokenizer: Tokenizer
    weights: bytes

    @staticmethod
    def open(reference: str) -> Pretrained:
        """Return the kept model at a place (:func:`tuner.models.located` finds it by its name).

        Raises:
            DataError: when there is none, or it is no encoder that was pre-trained on texts.
            StudyConflictError: when it has changed since the study was created.
        """
        from objectives.text.tokenizers import Tokenizer

        model, where = open_model(reference), shown(reference)
        objective = model.card.get("objective", {})
        if objective.get("name") != "pretraining" or TOKENIZER not in model.files:
            raise DataError(
                f"pretrained = '{where}': objective '{objective.get('name', 'table')}' made this model; it must be one "
                "of objective 'pretraining'"
            )
        if objective.get("learns", "masked") != "masked":
            raise DataError(
                f"pretrained = '{where}': it learned to foretell the next token, so it sees no text whole; "
                "take one that learns = 'masked'"
            )
        known = model.card["params"]
        taken = [*_TAKEN, *_TAKEN_OF_TOKENS]
        if known["positions"] == "learned":  # there is a vector for each of so many tokens
            taken.append("max_length")
        return Pretrained(
            where=where,
            params={"network": "transformer", **{name: known[name] for name in taken}},
            tokenizer=Tokenizer.from_json(json.loads(model.files[TOKENIZER])),
            weights=model.files[WEIGHTS],
        )

    def hyperparameters(self, known: Sequence[Hyperparameter]) -> list[Hyperparameter]:
        """Return what is left to be searched of ``known``, the hyperparameters of a network that begins by chance."""
        free = {*_FREE, "max_length"} - self.params.keys()
        fixed = {hyper.name for hyper in (*NETWORK, *TOKENIZERS)} - free
        defaults = self._defaults()
        return [
            replace(
                hyper,
                default=defaults.get(hyper.name, replace(hyper.default, when=_without(hyper, fixed))),
                usual=_USUAL.get(hyper.name, hyper.usual),
            )
            for hyper in known
            if hyper.name not in fixed
        ]

    def _defaults(self) -> dict[str, Parameter]:
        """Return how training is searched where it goes on instead of beginning."""
        return {
            "frozen": Range(low=0, high=int(self.params["depth"]) + 1, integer=True),
            "layer_decay": Range(low=0.3, high=1.0),
            "learning_rate": Range(low=3e-4, high=1e-2, log=True),
            "optimizer": Fixed(value="adamw"),
            "weight_decay": Range(low=1e-3, high=0.3, log=True),
            "schedule": Fixed(value="cosine"),
            "warmup": Range(low=0.0, high=0.3),
            "batch_size": Choices(choices=(16, 32)),
            "l1": Fixed(value=0.0),
            "l2": Fixed(value=0.0),
        }

    def begin(self, module: nn.Module) -> nn.Module:
        """Give a network the pre-trained embedding and encoder, in place, and return it; its head begins by chance."""
        import torch

        from tuner.models.warm_start import parsed

        weights = parsed(self.weights, self.where)
        with torch.no_grad():
            for name, tensor in module.state_dict(keep_vars=True).items():
                if name.startswith(("embedding.", "encoder.")):
                    tensor.copy_(weights[name])
        return module


def _without(hyper: Hyperparameter, fixed: set[str]) -> Mapping[str, Any]:
    """Return the conditions of a hyperparameter, but for those on what is fixed."""
    return {parent: values for parent, values in hyper.default.when.items() if parent not in fixed}
