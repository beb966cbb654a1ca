"""The table as an objective: a multilayer perceptron on its prepared rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from objectives.supervised import Supervised
from objectives.tables.datasets import NAMES
from objectives.tables.options import TableData, TableOptions
from tuner.hyperparameters import Hyperparameter, with_training
from tuner.space import Choices, Fixed, Range

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from objectives.tables.preparing import PreparedTable
    from objectives.tables.target import Target
    from tuner.models.samples import Samples
    from tuner.training.data import Dataset

PREPROCESSING = "preprocessing.json"
"""The file of a kept model that says how columns are prepared, and what the outputs mean."""

NETWORK: tuple[Hyperparameter, ...] = (
    Hyperparameter(
        name="depth",
        default=Range(low=1, high=4, integer=True),
        minimum=0,
        maximum=100,
        description="hidden layers; 0 is a linear model",
        usual=2,
    ),
    Hyperparameter(
        name="width",
        default=Range(low=32, high=256, log=True, integer=True),
        minimum=1,
        maximum=65536,
        description="units of each hidden layer",
        usual=128,
    ),
    Hyperparameter(
        name="activation",
        default=Choices(choices=("relu", "tanh", "gelu", "silu")),
        choices=(
            "relu", "leaky_relu", "tanh", "sigmoid", "gelu", "silu", "elu", "selu", "softplus", "identity",
        ),
        description="what each hidden unit does with its sum",
        usual="relu",
    ),
    Hyperparameter(
        name="dropout",
        default=Range(low=0.0, high=0.5),
        minimum=0,
        maximum=0.99,
        description="share of the hidden units that is silent in each training step",
        usual=0.1,
    ),
    Hyperparameter(
        name="normalization",
        default=Fixed(value="none"),
        choices=("none", "layer", "batch"),
        description="normalisation before each activation",
    ),
)  # fmt: skip


class Table(Supervised):
    """A table of numbers, categories, booleans and dates; classification or regression, one or several targets."""

    Options = TableOptions
    Data = TableData
    data_sets = NAMES
    imports = ("objectives.tables.preparing", "sklearn.datasets", "sklearn.impute", "sklearn.model_selection")

    def __init__(self, options: TableOptions, data: TableData, *, seed: int) -> None:
        super().__init__(options, data, seed=seed)
        self._table: PreparedTable | None = None

    @property
    def table(self) -> PreparedTable:
        """The prepared table; :meth:`load` makes it."""
        if self._table is None:
            raise RuntimeError("call load() first")
        return self._table

    def load(self) -> Dataset:
        import torch

        from objectives.tables.preparing import prepare_table

        self._table = prepare_table(self.data, task=self.options.task, seed=self.seed)
        self.check_options()
        return self.dataset({name: (torch.tensor(part.inputs),) for name, part in self._table.parts.items()})

    def adopt(self, training: tuple[Any, Any], validation: tuple[Any, Any]) -> Dataset:
        """Return rows that somebody holds in memory, prepared as those of a file; numbers and categories stay so."""
        import torch

        from objectives.tables.arrays import SPLIT, categories, labelled_frame
        from objectives.tables.preparing import prepare_frame

        frame, targets = labelled_frame(training, validation)
        chosen = categories(training[0])
        others = frame.drop(*targets, *chosen)
        numbers = [series.name for series in others if series.dtype.is_numeric()]
        adopted = {
            "source": "the data",
            "target": targets,
            "split_column": SPLIT,
            "numbers": numbers,
            "categories": chosen,
        }
        self.data = self.data.model_copy(update=adopted)
        table = prepare_frame(frame, self.data, task=self.options.task, seed=self.seed)
        self._table = table
        self.check_options()
        dataset = self.dataset({name: (torch.tensor(part.inputs),) for name, part in table.parts.items()})
        self._table = replace(table, parts={})  # what is kept with a fitted network is not its data
        return dataset

    def take(self, inputs: Any) -> tuple[Tensor, ...]:
        import torch

        from objectives.tables.arrays import feature_frame
        from objectives.tables.reading import normalise

        frame = normalise(feature_frame(inputs))
        return (torch.tensor(self.table.preprocessing.transform(frame, where="X")),)

    def hyperparameters(self) -> Sequence[Hyperparameter]:
        return with_training(NETWORK)

    def network(self, params: Mapping[str, Any]) -> nn.Module:
        from tuner.training.mlp import MLP

        return MLP(
            inputs=len(self.table.preprocessing.features),
            outputs=self.table.target.outputs,
            hidden=(int(params["width"]),) * int(params["depth"]),
            activation=params["activation"],
            dropout=float(params["dropout"]),
            normalization=params["normalization"],
        )

    def layers(self, module: nn.Module) -> list[list[str]]:
        """Return each hidden layer with its normalization, then the output layer."""
        by_depth: dict[int, list[str]] = {}
        for name, _ in module.named_parameters():  # layers.0.weight, norms.0.weight, …
            by_depth.setdefault(int(name.split(".")[1]), []).append(name)
        return [by_depth[depth] for depth in sorted(by_depth)]

    @property
    def target(self) -> Target:
        return self.table.target

    @property
    def where(self) -> str:
        return self.table.where

    def encoded_targets(self) -> dict[str, NDArray[Any]]:
        return {name: part.targets for name, part in self.table.parts.items()}

    def artifacts(self, params: Mapping[str, Any]) -> dict[str, bytes]:
        """Return how the columns are prepared, and what the outputs mean."""
        state = {"preprocessing": self.table.preprocessing.to_json(), "target": asdict(self.table.target)}
        return {PREPROCESSING: json.dumps(state, ensure_ascii=False).encode()}

    def restore(self, files: Mapping[str, bytes], params: Mapping[str, Any]) -> None:
        from objectives.tables.preparing import PreparedTable
        from objectives.tables.preprocessing import Preprocessing
        from objectives.tables.target import Target
        from tuner.models.samples import held

        state = held(files, PREPROCESSING)
        self._table = PreparedTable(
            where="the model",
            parts={},
            target=Target.from_json(state["target"]),
            plans=(),
            preprocessing=Preprocessing.from_json(state["preprocessing"]),
            notes=(),
        )

    def samples(self, data: Any, params: Mapping[str, Any]) -> Samples:
        """Return the rows of a file, a DataFrame or an array, prepared as the validation part is."""
        import torch

        from objectives.tables.new_rows import read_new
        from tuner.models.samples import Samples

        notes: list[str] = []
        where, frame = read_new(data, self.data, notes)
        usable, faults = self.table.preprocessing.without_infinite(frame)
        strange, warnings = self.table.preprocessing.strange(usable)
        notes += [*strange, *self.table.preprocessing.clipped(usable)]
        return Samples(
            alike=True,
            where=where,
            feeds=(torch.tensor(self.table.preprocessing.transform(usable, where=where)),),
            faults=faults,
            columns=frame,
            **self.known_targets(frame, where=where, notes=notes),
            notes=notes,
            warnings=warnings,
        )

    def describe(self) -> dict[str, Any]:
        """Return what was inferred: parts, target, how each column is used, and notes for a person."""
        table = self.table
        features = {encoder.name: len(encoder.features) for encoder in table.preprocessing.encoders}
        columns = [
            {
                "name": plan.name,
                "kind": plan.kind if plan.name in features else "unused",
                "features": features.get(plan.name, 0),
                "note": plan.note or ("" if plan.name in features else "no level has enough rows"),
            }
            for plan in table.plans
        ]
        return {
            "source": table.where,
            "rows": {part: len(values.targets) for part, values in table.parts.items()},
            "target": self.describe_target(),
            "inputs": len(table.preprocessing.features),
            "columns": columns,
            "notes": [*table.notes, *(_unused(column) for column in columns if column["kind"] == "unused")],
        }


def _unused(column: Mapping[str, Any]) -> str:
    return f"column '{column['name']}' is not used ({column['note']})"
