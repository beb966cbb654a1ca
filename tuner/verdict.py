"""Whether a network overfits, in words a person can read."""

from __future__ import annotations

import math

OVERFITS = "overfits"
OVERFITS_SLIGHTLY = "overfits slightly"
GENERALISES = "generalises"
OVERCONFIDENT = "overconfident"
LEARNED_NOTHING = "learned nothing"

_LITTLE = 0.05
_SLIGHT = 0.10
_MUCH = 0.20


def verdict(*, training_loss: float, validation_loss: float, constant_loss: float, beats_constant: bool) -> str:
    """Return how a network's training and validation loss compare.

    Both losses are measured with the restored weights in inference mode. They are put on one scale by the loss of
    the best constant answer: skill = 1 − loss / constant loss, which is 1 for a perfect network and 0 for one that
    knows nothing (for the mean squared error it is R²). The difference of the two skills decides: above 0.2 the
    network overfits, above 0.1 slightly. A network whose skills are both below 0.05 has learned nothing; but if its
    metric beats the constant answer's (``beats_constant``) it is only overconfident: mostly right, very sure when
    it is wrong.
    """
    if not (math.isfinite(training_loss) and math.isfinite(validation_loss)) or constant_loss <= 0:
        return LEARNED_NOTHING
    training = 1 - training_loss / constant_loss
    validation = 1 - validation_loss / constant_loss
    if max(training, validation) < _LITTLE:
        return OVERCONFIDENT if beats_constant else LEARNED_NOTHING
    gap = training - validation
    if gap > _MUCH:
        return OVERFITS
    return OVERFITS_SLIGHTLY if gap > _SLIGHT else GENERALISES
