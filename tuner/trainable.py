"""What is tuned, in parts: data, network, loss, metrics. The engine owns the loop over them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tuner import metrics
from tuner.errors import UsageError
from tuner.hyperparameters import TRAINING, Hyperparameter, build_space
from tuner.sections import Section

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tuner.metrics import Metric
    from tuner.models.samples import Samples
    from tuner.space import Space
    from tuner.training import Dataset, Loss


class ObjectiveOptions(Section):
    """The ``[objective]`` table of a study file, less its ``name``."""

    metric: str | list[str] = Field(
        "", description="what is optimised, on the validation part; several give a Pareto front"
    )


class DataOptions(Section):
    """The ``[data]`` table of a study file."""


class Trainable(ABC):
    """An objective in parts, so that the engine owns epochs, optimizer, schedule, penalties, stopping and checkpoints.

    The tuner makes one instance a worker, calls :meth:`load` once, and then :meth:`network` and :meth:`loss` for
    every trial. What depends on chance in :meth:`load` (a split) depends on ``seed`` alone: every worker must see the
    same data. :meth:`network` is called with the global torch generator seeded for its trial.
    """

    Options: ClassVar[type[ObjectiveOptions]] = ObjectiveOptions
    Data: ClassVar[type[DataOptions]] = DataOptions
    default_metric: ClassVar[str] = "accuracy"
    data_sets: ClassVar[Sequence[str]] = ()
    """Built-in data sets that ``[data] source`` may name instead of a path."""
    imports: ClassVar[Sequence[str]] = ()
    """Of a built-in objective: modules it imports late, which its workers can have imported before they begin."""

    no_predictions: ClassVar[str] = ""
    """What to say of a kept network that answers nothing by itself: why, and what it is for."""

    def __init__(self, options: Any, data: Any, *, seed: int) -> None:
        self.options = options
        self.data = data
        self.seed = seed

    @classmethod
    def recognises(cls, source: Path) -> bool:
        """Whether the data at ``source``, a file or a folder, is so plainly of this kind that nobody need say so.

        It is asked for ``--data`` without an ``objective.name``, before anything is checked: it must be quick (names
        and first bytes), import neither torch nor scikit-learn, and answer False where it cannot read.
        """
        return False

    @abstractmethod
    def load(self) -> Dataset:
        """Return the data, split and prepared; what is fitted is fitted on the training part only.

        Raises:
            DataError: when the data cannot be used, with one line that names the file, the column and the remedy.
        """

    def adopt(self, training: tuple[Any, Any], validation: tuple[Any, Any]) -> Dataset:
        """Return samples that somebody holds in memory as :meth:`load` returns those of a file (see tuner.sklearn).

        Each part is its inputs, an array ``[N, …]`` or a DataFrame, and its targets: class numbers ``[N]`` or values
        ``[N, T]``. Override it where :meth:`network` needs to know more of the data than that.
        """
        import torch

        from tuner.training import Dataset, Part

        def part(inputs: Any, targets: Any) -> Part:
            numbers = torch.as_tensor(targets)
            return Part(
                inputs=self.take(inputs), targets=numbers.float() if numbers.is_floating_point() else numbers.long()
            )

        return Dataset(training=part(*training), validation=part(*validation))

    def take(self, inputs: Any) -> tuple[Tensor, ...]:
        """Return inputs that somebody holds in memory as the network is called with them; float32 by default."""
        import torch

        return (torch.as_tensor(inputs).float(),)

    def encode(self, dataset: Dataset, params: Mapping[str, Any]) -> Dataset:
        """Return what :meth:`load` gave as the network of ``params`` is to see it: tokenized by its tokenizer, say.

        Targets and the order of the samples stay. Equal encodings must be the same object (keep them): only members
        that learn from one :class:`Dataset` object are trained as one network.
        """
        return dataset

    @abstractmethod
    def network(self, params: Mapping[str, Any]) -> nn.Module:
        """Return a new network for ``params``, ready to be called as ``network(*inputs)``."""

    @abstractmethod
    def loss(self, params: Mapping[str, Any]) -> Loss:
        """Return the loss that is minimised, penalties aside."""

    def layers(self, module: nn.Module) -> Sequence[Sequence[str]]:
        """Return the names of the network's parameters layer by layer, from the input to the head.

        ``frozen`` and ``layer_decay`` go by them. By default they follow the order in which the parts are defined.
        """
        from tuner.training.layers import in_order

        return in_order(module)

    def hyperparameters(self) -> Sequence[Hyperparameter]:
        """Return what may stand in the ``[space]`` of this objective; add your network's own to ``TRAINING``."""
        return TRAINING

    def space(self, written: Mapping[str, Any], *, where: str) -> Space:
        """Return the space of a study: that of :meth:`hyperparameters`, with what ``[space]`` wrote in its place.

        Raises:
            SpecError: for what is not known or not legal, naming ``where``, the key and the value.
        """
        return build_space(self.hyperparameters(), written, where=where)

    def artifacts(self, params: Mapping[str, Any]) -> Mapping[str, bytes]:
        """Return, by file name, what a kept network of ``params`` needs beside its weights: tokenizer, preprocessing.

        JSON, never a pickle. :meth:`load` has been called.
        """
        return {}

    def restore(self, files: Mapping[str, bytes], params: Mapping[str, Any]) -> None:
        """Be, without any data, what :meth:`load` made, as far as the network of ``params`` and its answers need it.

        The inverse of :meth:`artifacts`: ``files`` are what it returned. It is called in place of :meth:`load`.

        Raises:
            DataError: when something is missing in them.
        """
        if files:
            name = type(self).__name__
            raise UsageError(
                f"{name} keeps {', '.join(files)} beside its networks, but does not read them again; write "
                f"{name}.restore(files, params), the inverse of artifacts(params)"
            )

    def samples(self, data: Any, params: Mapping[str, Any]) -> Samples:
        """Return new samples as the network of ``params`` is called with them, with targets where they are there.

        ``data`` is a :class:`~pathlib.Path`, or what somebody holds in memory. By default a CSV or NPY file of numbers,
        a DataFrame or an array will do, of which :meth:`take` makes the inputs.

        Raises:
            DataError: when it is not what the network learned from, naming the file, the column and the remedy.
        """
        from tuner.models.samples import plain_samples

        return plain_samples(self.take, data)

    def infer(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        """Return what the network says of a batch ``[B, …]``: its outputs, or what is made by calling it repeatedly."""
        outputs: Tensor = module(*inputs)
        return outputs

    @property
    def no_ensemble(self) -> str:
        """What to say of a network that cannot answer together with others: why; empty where it can.

        Sequences have no mean, but an objective of one's own may :meth:`combine` them.
        """
        if self.no_predictions or type(self).combine is not Trainable.combine or self.metrics()[0].task != "sequence":
            return self.no_predictions
        return "answers with sequences, of which there is no mean"

    def combine(self, outputs: Tensor) -> Tensor:
        """Return what several networks that gave ``[M, N, …]`` say together, as outputs ``[N, …]`` of one.

        Of classes that is the logarithm of the mean of their probabilities (a linear opinion pool, Stone 1961), of
        numbers the mean of the outputs, before :meth:`decode`: override it where that is not linear. Outputs are those
        of the networks, or what :meth:`infer` made of them.
        """
        import torch

        outputs = outputs.to(torch.promote_types(outputs.dtype, torch.float32))
        if self.metrics()[0].task == "classification":
            return outputs.log_softmax(-1).logsumexp(0) - math.log(len(outputs))
        return outputs.mean(0)

    def answers(self, outputs: Tensor, *, probabilities: bool = False) -> Mapping[str, Sequence[Any]]:
        """Return what :meth:`infer` gave ``[B, …]`` as columns of answers by name; if asked, one for each class.

        Raises:
            UsageError: when there are no probabilities.
        """
        from tuner.models.answers import class_columns, number_columns

        task = self.metrics()[0].task
        if task == "sequence":
            name = type(self).__name__
            raise UsageError(f"how outputs {list(outputs.shape[1:])} are to be read, {name}.answers(outputs) must say")
        if task == "classification":
            classes = [str(number) for number in range(outputs.shape[-1])]
            return class_columns("class", classes, outputs, probabilities=probabilities)
        return number_columns(self.decode(outputs), probabilities=probabilities)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the metrics of what :meth:`infer` gave ``[N, …]`` against the targets of :meth:`samples`, by name."""
        decoded, right = self.decode(outputs.unsqueeze(0)), self.decode(targets)
        return {metric.name: float(metric(decoded, right)) for metric in self.metrics()}

    def metric_names(self) -> list[str]:
        """Return the metrics that are optimised, the first of which pruning and early stopping watch."""
        written = self.options.metric or self.default_metric
        return [written] if isinstance(written, str) else list(written)

    def metrics(self) -> list[Metric]:
        """Return the metrics of :meth:`metric_names`."""
        return [metrics.get(name) for name in self.metric_names()]

    def decode(self, outputs: Tensor) -> Tensor:
        """Return the network's outputs ``[M, N, …]`` in the units that metrics and people use."""
        return outputs

    def final_scores(self, module: nn.Module, dataset: Dataset) -> dict[str, Any]:
        """Return further scores of a finished network on the validation part, by name: what costs too much each epoch.

        ``dataset`` is what :meth:`encode` gave, on the module's device; the module has its best weights. Beside numbers
        there may be ``examples``, a list of dicts of texts, of which ``tuner show`` prints a table. All of it is JSON.
        """
        return {}

    def describe(self) -> dict[str, Any]:
        """Return, as JSON, what :meth:`load` found: sizes of the parts, columns, classes, notes for a person."""
        return {}
