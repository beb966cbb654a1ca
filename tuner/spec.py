"""The study file's schema: what a person may write, validated and frozen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from tuner.errors import SpecError
from tuner.sections import Section, validate
from tuner.study_file import names_a_file

_DURATION = re.compile(r"^\s*(?:(?P<h>\d+(?:\.\d+)?)h)?\s*(?:(?P<m>\d+(?:\.\d+)?)m)?\s*(?:(?P<s>\d+(?:\.\d+)?)s?)?\s*$")
_NAME = re.compile(r"^[\w][\w .+@=-]{0,199}$")


def parse_duration(written: Any) -> float:
    """Return the seconds that ``90``, ``"90s"``, ``"15m"`` or ``"1h30m"`` mean.

    Raises:
        ValueError: when it is neither, or not above 0.
    """
    if isinstance(written, str) and written.strip() and (match := _DURATION.match(written)):
        hours, minutes, seconds = (float(match[unit] or 0) for unit in "hms")
        written = hours * 3600 + minutes * 60 + seconds
    if isinstance(written, bool) or not isinstance(written, int | float):
        raise ValueError("a duration is written like 90, '90s', '15m' or '1h30m'")
    if not 0 < written < float("inf"):
        raise ValueError("a duration must be above 0")
    return float(written)


def check_name(name: str) -> str:
    """Return ``name`` when it may name a study or a model.

    Raises:
        ValueError: when it may not: a name is never a path.
    """
    if not _NAME.match(name) or name != name.strip():
        raise ValueError("a name holds letters, digits, spaces and _ . + @ = - only, 200 at most")
    return name


Duration = Annotated[float, BeforeValidator(parse_duration)]


class EarlyStopping(Section):
    """``[training.early_stopping]``"""

    patience: int = Field(10, ge=0, description="epochs without improvement after which a trial stops; 0: never")
    min_delta: float = Field(0.0, ge=0, description="an improvement smaller than this is none")
    monitor: Literal["metric", "validation_loss"] = Field(
        "metric", description="what must improve: the objective's (first) metric or the validation loss"
    )


class Checkpointing(Section):
    """``[training.checkpoints]``: what continues an interrupted trial"""

    where: str = Field(
        "",
        description="folder or fsspec URL that all workers reach; default: beside the SQLite file, else in this folder",
    )
    keep_best: int = Field(0, ge=0, description="so many of the best finished trials keep their last checkpoint")
    max_bytes: int | None = Field(
        None, ge=0, description="of all checkpoints of the study; the least wanted go first", examples=[1_000_000_000]
    )


class Training(Section):
    """``[training]``"""

    epochs: int = Field(50, ge=1, le=1_000_000, description="most epochs a trial may train")
    early_stopping: EarlyStopping = EarlyStopping()
    trial_timeout: Duration | None = Field(
        None,
        description="time that one trial may train, in a cohort its share of it; it ends with the epoch it is in",
        examples=["10m"],
    )
    penalise_biases: bool = Field(False, description="whether L1, L2 and weight decay also pull on biases")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="what networks compute in; the lower two are mixed precision, for large networks on a GPU",
    )
    cohort: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="trials a worker trains at once, those of one shape as one network; "
        "default: up to 16 (512 on a GPU), as far as memory goes, where shapes are alike, 1 where they are searched",
    )
    checkpoints: Checkpointing = Checkpointing()
    device: str = Field("auto", description="auto (a GPU where there is one), cpu, cuda, cuda:1, …")


class ModelSection(Section):
    """``[model]``: the weights that networks begin with, and where the best network is kept"""

    start_from: str = Field(
        "",
        description="weights that every network begins with: a safetensors file, or a kept model's name, folder or "
        "URL; default: by chance",
        examples=["weights.safetensors"],
    )
    strict: bool = Field(
        True, description="whether they must fit the whole network; false: what fits by name and shape is taken"
    )
    keep_as: str = Field(
        "",
        description="the name under which the best trial's network is kept when the study ends; default: it is not",
        examples=["churn"],
    )
    ensemble: int = Field(
        1, ge=1, description="so many of the best trials' networks are kept together, as one model that answers"
    )
    where: str = Field(
        "",
        description="folder or fsspec URL of kept models; default: TUNER_MODELS, else tuner-models beside the SQLite "
        "file, else in this folder",
    )

    @field_validator("keep_as")
    @classmethod
    def _a_name(cls, name: str) -> str:
        return check_name(name) if name else name


class Search(Section):
    """``[search]``"""

    sampler: str = Field("auto", description="how configurations are chosen; auto: tpe")
    first: list[dict[str, Any]] | None = Field(
        None,
        description="configurations that the first trials have; what one leaves out is chosen as ever; "
        "default: the usual one, with samplers that learn; []: none",
        examples=[[{"learning_rate": 1e-3}]],
    )
    sampler_options: dict[str, Any] = Field(default_factory=dict, description="options of Optuna's sampler")
    pruner: str = Field("auto", description="how poor trials are stopped early; auto: median")
    pruner_options: dict[str, Any] = Field(default_factory=dict, description="options of Optuna's pruner")

    @field_validator("first", mode="before")
    @classmethod
    def _several(cls, first: Any) -> Any:
        if isinstance(first, Mapping):
            raise ValueError("it is a list of configurations; write [[search.first]]")
        return first


class Budget(Section):
    """``[budget]``: the study ends at whichever comes first."""

    trials: int | None = Field(100, ge=1, le=10_000_000, description="the study's total, under any number of workers")
    timeout: Duration | None = Field(
        None,
        description="time of each run, e.g. '1h30m'; what is unfinished then is continued by the next",
        examples=["1h30m"],
    )
    target: float | None = Field(None, description="stop once the best value is at least this good", examples=[0.99])
    patience: int | None = Field(
        None, ge=1, description="stop after so many finished trials without a better one", examples=[50]
    )


class StudySpec(Section):
    """A study file, read and validated.

    ``objective`` and ``data`` are checked against the objective's own models, and ``space`` against what it
    knows, when the objective is loaded: see :func:`tuner.loading.load_objective`.
    """

    name: Annotated[str, AfterValidator(check_name)] = Field(description="the study's name in the storage")
    seed: int = Field(0, ge=0, lt=2**32, description="all of the study's randomness comes from it")
    confirms: str = Field("", description="the study whose best trials these train again; `tuner confirm` writes it")
    objective: dict[str, Any] = Field(default_factory=lambda: {"name": "table"})
    data: dict[str, Any] = Field(default_factory=dict)
    space: dict[str, Any] = Field(default_factory=dict)
    training: Training = Training()
    model: ModelSection = ModelSection()
    search: Search = Search()
    budget: Budget = Budget()


def parse_spec(values: Mapping[str, Any], *, where: str) -> StudySpec:
    """Return the spec that ``values`` (a study file as a mapping) holds.

    Raises:
        SpecError: naming ``where``, the key, the value and the nearest right key.
    """
    spec = validate(StudySpec, values, where=where)
    name = spec.objective.get("name", "table")
    if not isinstance(name, str) or not name:
        raise SpecError(f"{where} [objective]: name = {name!r} must be the name or import path of an objective")
    return spec


SAFE_TO_CHANGE = (
    "budget.",
    "space.",
    "model.ensemble",
    "model.keep_as",
    "model.where",
    "training.checkpoints.",
    "training.cohort",
    "training.device",
    "training.trial_timeout",
)
"""Where a study file may differ from the stored study: budget and time, a space that got wider, where things run.

And where the data lies: that what is learned from and judged by is the same is seen when it is read. Of a test file
nothing is known but its place, so that stays.
"""


def differences(old: StudySpec, new: StudySpec) -> list[str]:
    """Return a line ``key: old → new`` for each value that differs outside :data:`SAFE_TO_CHANGE`."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    lines = []
    for key in sorted(before.keys() | after.keys()):
        moved = key.startswith("data.") and names_a_file(key.removeprefix("data.")) and key != "data.test_file"
        if key.startswith(SAFE_TO_CHANGE) or moved or before.get(key) == after.get(key):
            continue
        lines.append(f"{key}: {_show(before, key)} → {_show(after, key)}")
    return lines


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def _show(values: Mapping[str, Any], key: str) -> str:
    return repr(values[key]) if key in values else "absent"
