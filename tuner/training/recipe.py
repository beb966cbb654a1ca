"""How one member is trained."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from dataclasses import dataclass

from tuner.errors import UsageError

OPTIMIZERS = (
    "gradient_descent",
    "sgd",
    "rmsprop",
    "adagrad",
    "adadelta",
    "adam",
    "adamw",
    "adamax",
    "nadam",
    "radam",
    "lion",
)
PRECISIONS = ("float32", "bfloat16", "float16")
SCHEDULES = ("constant", "step", "exponential", "linear", "cosine", "one_cycle", "reduce_on_plateau")


class RecipeError(UsageError):
    """The network cannot be trained this way."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one member is trained; what is ``None`` takes the default of the optimizer or schedule in use."""

    epochs: int
    seed: int
    """All randomness of the member follows from it (see randomness.py)."""
    batch_size: int | None
    """Samples a step; None is the whole training part (gradient descent)."""
    data_fraction: float = 1.0
    """The share of the training part that is used."""

    optimizer: str
    learning_rate: float
    momentum: float = 0.0
    """Of gradient descent, SGD and RMSprop."""
    nesterov: bool = False
    beta1: float = 0.9
    beta2: float | None = None
    """0.999; 0.99 for Lion."""
    eps: float | None = None
    """1e-8; 1e-10 for AdaGrad, 1e-6 for Adadelta."""
    alpha: float | None = None
    """How slowly the squared gradients are forgotten: RMSprop 0.99, Adadelta 0.9."""

    schedule: str = "constant"
    warmup: float = 0.0
    """The share of the run in which the learning rate rises linearly, before any schedule."""
    step_size: int = 10
    """Epochs between two steps of the step schedule."""
    gamma: float | None = None
    """Factor of each step (0.1), each epoch of the exponential (0.95), each reduction on a plateau (0.1)."""
    final_factor: float = 0.0
    """What the linear and the cosine schedule end at, as a share of the learning rate."""
    peak: float = 0.3
    """The share of the run in which one_cycle rises."""
    plateau_patience: int = 10
    """Epochs without improvement of the validation loss that reduce_on_plateau bears."""

    l1: float = 0.0
    """The loss grows by ``l1 * sum(|w|)``."""
    l2: float = 0.0
    """The loss grows by ``l2 * sum(w**2)``."""
    weight_decay: float = 0.0
    """Decoupled, as in AdamW: each step first takes ``w -= learning_rate * weight_decay * w``."""
    penalise_biases: bool = False
    """Let l1, l2 and weight_decay act on biases and normalization parameters too."""
    precision: str = "float32"
    """What networks compute in: a lower one is mixed precision (see precision.py)."""
    gradient_clip: float | None = None
    """The largest Euclidean norm of the gradient."""

    frozen: int = 0
    """So many of the lowest layers do not learn; the head always does."""
    layer_decay: float = 1.0
    """The learning rate of a layer is this times that of the layer above it (see layers.py)."""

    patience: int | None = None
    """Early stopping: epochs without improvement before the member stops; None never stops."""
    min_delta: float = 0.0
    """An improvement counts for early stopping if it is larger than this."""
    monitor: str | None = None
    """What the best epoch is judged by: None is the first metric, or 'validation_loss', or a metric's name."""

    def __post_init__(self) -> None:
        _choice("optimizer", self.optimizer, OPTIMIZERS)
        _choice("schedule", self.schedule, SCHEDULES)
        _choice("precision", self.precision, PRECISIONS)
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("step_size", 1),
            ("patience", 1),
            ("plateau_patience", 0),
            ("frozen", 0),
        ):
            _check_whole(name, getattr(self, name), least)
        _check_whole("seed", self.seed, 0)
        tiny, below_one = math.ulp(0.0), math.nextafter(1.0, 0.0)
        for names, low, high, wanted in (
            (("learning_rate", "gradient_clip", "eps"), tiny, math.inf, "a finite number above 0"),
            (("l1", "l2", "weight_decay", "min_delta"), 0.0, math.inf, "a finite number of 0 or more"),
            (("momentum", "beta1", "beta2", "alpha"), 0.0, below_one, "at least 0 and below 1"),
            (("warmup", "final_factor"), 0.0, 1.0, "between 0 and 1"),
            (("data_fraction", "gamma", "layer_decay"), tiny, 1.0, "above 0 and at most 1"),
            (("peak",), tiny, below_one, "above 0 and below 1"),
        ):
            for name in names:
                _check_number(name, getattr(self, name), (low, high), wanted)
        if self.nesterov and not self.momentum:
            raise RecipeError("nesterov needs a momentum above 0")
        if self.optimizer == "gradient_descent" and self.batch_size is not None:
            raise RecipeError(
                f"gradient_descent uses the whole training part: batch_size must be None, got {self.batch_size}; "
                "for batches choose the optimizer 'sgd'"
            )


def _check_whole(name: str, value: object, least: int) -> None:
    if value is None and name in ("batch_size", "patience"):
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise RecipeError(f"{name} must be a whole number of {least} or more, got {value!r}")


def _check_number(name: str, value: object, bounds: tuple[float, float], wanted: str) -> None:
    if value is None and name in ("gradient_clip", "eps", "beta2", "alpha", "gamma"):
        return
    right = isinstance(value, int | float) and not isinstance(value, bool)
    if not right or not bounds[0] <= value <= bounds[1] or value == math.inf:  # type: ignore[operator]
        raise RecipeError(f"{name} must be {wanted}, got {value!r}")


def _choice(name: str, value: str, choices: Iterable[str]) -> None:
    if value in choices:
        return
    near = difflib.get_close_matches(str(value), list(choices), n=1)
    hint = f"; did you mean {near[0]!r}?" if near else f"; choose one of {', '.join(choices)}"
    raise RecipeError(f"unknown {name} {value!r}{hint}")
