"""Whether a network overfits, in words a person can read."""

from __future__ import annotations

import math

OVERFITS = "overfits"
OVERFITS_SLIGHTLY = "overfits slightly"
GENERALISES = "generalises"
OVERCONFIDENT = "overconfident"
UNDERCONFIDENT = "underconfident"
LEARNED_NOTHING = "learned nothing"

MEANINGS = {
    OVERFITS: "It does much better on what it learned from than on the validation part: more data, more dropout, l1 or "
    "l2, or a smaller network may help.",
    OVERFITS_SLIGHTLY: "It does somewhat better on what it learned from than on the validation part.",
    GENERALISES: "It does about as well on the validation part as on what it learned from.",
    OVERCONFIDENT: "It is mostly right on the validation part, and very sure where it is wrong: trust its answers "
    "rather than its probabilities.",
    UNDERCONFIDENT: "It is mostly right on the validation part, and hardly sure of anything: more epochs, a larger "
    "learning rate, or less dropout, l1 or l2 may help.",
    LEARNED_NOTHING: "By its losses it knows no more than the best constant answer.",
}
"""What each verdict says, in a sentence."""

_LITTLE = 0.05
_SLIGHT = 0.10
_MUCH = 0.20


def skill(loss: float, constant_loss: float) -> float:
    """Return 1 − loss / loss of the best constant answer: 1 is perfect, 0 knows nothing; R² for squared errors."""
    return 1 - loss / constant_loss if constant_loss > 0 else math.nan


def verdict(*, training: float, validation: float, by_metric: float, too_sure: bool = True) -> str:
    """Return how a network's skills (see :func:`skill`) on the training and the validation part compare.

    Both are measured with the restored weights in inference mode. Their difference decides: above 0.2 the network
    overfits, above 0.1 slightly. Otherwise one whose skill on the validation part is below 0.05 has learned nothing;
    but a classifier whose skill ``by_metric``, by what it gets right, is larger is only overconfident, very sure where
    it is wrong, or underconfident: ``too_sure`` tells whether its probabilities promise more than it gets right.
    """
    if not (math.isfinite(training) and math.isfinite(validation)):
        return LEARNED_NOTHING
    gap = training - validation
    if max(training, validation) >= _LITTLE and gap > _SLIGHT:
        return OVERFITS if gap > _MUCH else OVERFITS_SLIGHTLY
    if validation >= _LITTLE:
        return GENERALISES
    if by_metric < _LITTLE:
        return LEARNED_NOTHING
    return OVERCONFIDENT if too_sure else UNDERCONFIDENT
