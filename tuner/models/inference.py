"""Kept networks put to use: new samples in, answers out, without study, storage or training data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tuner.errors import DataError, UsageError
from tuner.loading import make_trainable
from tuner.models.cards import unpacked
from tuner.models.naming import find_model, open_model, open_models, shown
from tuner.models.network import KeptNetwork, own_errors
from tuner.models.samples import pipes_read_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl
    import torch
    from torch import Tensor

    from storage import Model
    from tuner.models.samples import Samples
    from tuner.trainable import Trainable


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a model answers to new samples."""

    frame: pl.DataFrame
    """A row for each of the data's, in its order: the file it is, where it is one, and the answers.

    Where a row could not be read its answers are null.
    """
    columns: pl.DataFrame | None
    """What else the data holds, row by row; of arrays nothing."""
    faults: Mapping[int, str]
    """Row → why it has no answer."""
    scores: Mapping[str, float]
    """The model's metrics, where the data says what is right."""
    scored: int
    """So many rows they are of."""
    notes: Sequence[str]
    warnings: Sequence[str]
    """Why the answers may mean nothing."""

    def with_data(self) -> pl.DataFrame:
        """Return the data's columns with the answers after them.

        An answer whose name is taken is ``predicted …``, as often as it takes to be free.
        """
        if self.columns is None:
            return self.frame
        taken, renamed = {*self.columns.columns, *self.frame.columns}, {}
        for name in self.frame.columns:
            if name in self.columns.columns:
                free = f"predicted {name}"
                while free in taken:
                    free = f"predicted {free}"
                renamed[name] = free
                taken.add(free)
        return self.columns.hstack(self.frame.rename(renamed))


class Predictor:
    """A kept network, or an ensemble of several, ready to answer."""

    def __init__(self, model: Model, *, device: str = "auto", settings: Iterable[str] = ()) -> None:
        """Make the networks of a model, and give them their weights.

        ``settings`` (``data.key=value``) say how new data is read where that differs from the data of training.

        Raises:
            DataError: when the model does not hold what its objective needs.
            UsageError: when networks of its objective do not predict, for a device that is not there, and for settings
                of anything but ``data``.
            ObjectiveError: when the objective's own code fails.
        """
        self.card = model.card
        """From where the model comes: its study, its trials, their hyperparameters and scores."""
        self.device = _device(device)
        where, told = shown(model.place), list(settings)
        networks = unpacked(model, where)
        self._networks = [
            KeptNetwork(_trainable_of(model, where, told), files, params, device=self.device, where=where)
            for params, files in networks
        ]

    @property
    def _trainable(self) -> Trainable:
        """What reads the outputs: those of several networks mean the same."""
        return self._networks[0].trainable

    def predict(self, data: Any, *, probabilities: bool = False, batch_size: int | None = None) -> pl.DataFrame:
        """Return the answers to new samples: a path, or a DataFrame, array or list that holds them.

        A row for each of theirs, in their order; null where one could not be read. Classes are named, numbers are in
        the target's units. With ``probabilities`` there is a column for each class too.

        Raises:
            DataError: when they are not what the network learned from, naming the file, the column and the remedy.
        """
        return self.predictions(data, probabilities=probabilities, batch_size=batch_size).frame

    def predictions(self, data: Any, *, probabilities: bool = False, batch_size: int | None = None) -> Predictions:
        """Return the answers as :meth:`predict` does, with what else is to be told: scores, rows without one."""
        import polars as pl

        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batches of {batch_size}: a batch has 1 sample or more")
        readings = self._read(Path(data).expanduser() if isinstance(data, str) else data)
        samples = readings[0].samples
        columns: dict[str, list[Any]] = {}
        kept: list[Tensor] = []
        with own_errors(), ExitStack() as reading:
            for one in readings:
                reading.enter_context(one.samples.reading())
            for outputs in self._outputs(readings, batch_size or min(one.samples.most for one in readings)):
                for name, answers in self._trainable.answers(outputs, probabilities=probabilities).items():
                    columns.setdefault(name, []).extend(answers)
                if samples.targets is not None:
                    kept.append(outputs)
        faults = {row: why for one in reversed(readings) for row, why in one.samples.faults.items()}
        for row in faults:
            for answers in columns.values():
                answers[row] = None
        scores, scored = self._scores(kept, samples, faults)
        return Predictions(
            frame=pl.DataFrame({**samples.names, **columns}, strict=False),
            columns=samples.columns,
            faults=dict(sorted(faults.items())),
            scores=scores,
            scored=scored,
            notes=_once(note for one in readings for note in one.samples.notes),
            warnings=_once(warning for one in readings for warning in one.samples.warnings),
        )

    def _read(self, data: Any) -> list[_Reading]:
        """Return the samples as each network sees them; those that see them alike share them."""
        readings: list[_Reading] = []
        with pipes_read_once():
            for network in self._networks:
                same = [one for one in readings if one.serves(network)]
                if same:
                    same[0].networks.append(network)
                else:
                    readings.append(_Reading(samples=network.samples(data), networks=[network]))
        counts = {len(one.samples) for one in readings}
        if len(counts) > 1:
            told = " and ".join(map(str, sorted(counts)))
            raise DataError(f"{readings[0].samples.where}: the networks of the ensemble read {told} samples in it")
        return readings

    def _outputs(self, readings: Sequence[_Reading], most: int) -> Iterator[Tensor]:
        """Yield what the networks together say of the samples, some at a time, on the host; of none, in its shape."""
        import torch

        answered = 0
        with torch.inference_mode():
            for batches in zip(*(one.batches(most, self.device) for one in readings), strict=True):
                said = [
                    network.outputs(inputs, one.samples.where)
                    for one, inputs in zip(readings, batches, strict=True)
                    for network in one.networks
                ]
                for outputs in said:
                    _note_strange(outputs, answered, readings[0].samples.faults)
                answered += len(said[0])
                yield said[0] if len(said) == 1 else self._trainable.combine(torch.stack(said))

    def _scores(
        self, outputs: Sequence[Tensor], samples: Samples, faults: Mapping[int, str]
    ) -> tuple[dict[str, float], int]:
        import torch

        if samples.targets is None:
            return {}, 0
        places = [place for place, row in enumerate(samples.labelled) if row not in faults]
        if not places:
            return {}, 0
        rows = torch.tensor([samples.labelled[place] for place in places])
        with own_errors():
            scores = self._trainable.scores(torch.cat(list(outputs))[rows], samples.targets[torch.tensor(places)])
        return scores, len(places)


@dataclass(frozen=True, kw_only=True)
class _Reading:
    """New samples, and the networks that see them so."""

    samples: Samples
    networks: list[KeptNetwork]

    def serves(self, network: KeptNetwork) -> bool:
        """Whether another network would see the same."""
        first = self.networks[0]
        return first.held == network.held and (self.samples.alike or first.params == network.params)

    def batches(self, most: int, device: torch.device) -> Iterator[tuple[Tensor, ...]]:
        """Yield the samples on the device, some at a time; of none, one batch without any."""
        import torch

        from tuner.training.data import gather
        from tuner.training.feeding import chunks

        if len(self.samples):
            return chunks(self.samples.feeds, most, device)
        none = torch.empty(0, dtype=torch.long)
        return iter([tuple(gather(feed, none).to(device) for feed in self.samples.feeds)])


def load_model(
    name: str, *, storage: str | None = None, where: str = "", device: str = "auto", settings: Iterable[str] = ()
) -> Predictor:
    """Return the model that was kept under ``name``, or lies in that folder or at that URL, ready to answer.

    Models are looked for in ``where``, else where ``TUNER_MODELS`` says, else beside the SQLite file of ``storage``,
    which is not opened. ``settings``, such as ``data.encoding=cp437``, say how new data is read.

    Raises:
        UsageError, DataError: when there is none, it is damaged, or it cannot predict.
    """
    from tuner.study import storage_url

    return Predictor(
        open_model(find_model(name, open_models(storage_url(storage), where))), device=device, settings=settings
    )


def _trainable_of(model: Model, where: str, settings: Sequence[str]) -> Trainable:
    from tuner.study_file import override

    card = model.card
    strange = next((setting for setting in settings if not setting.startswith("data.")), None)
    if strange is not None:
        raise UsageError(f"-S {strange}: only how new data is read may be said of a kept model, as -S data.key=value")
    data = override({"data": card["data"]}, settings)["data"]
    trainable = make_trainable(card["objective"], data, seed=card["seed"], where=f"the model '{where}'")
    if trainable.no_predictions:
        raise UsageError(f"the model '{where}' {trainable.no_predictions}")
    return trainable


def _device(wanted: str) -> torch.device:
    """Return the device that is asked for; ``auto`` is a GPU where there is one.

    Raises:
        UsageError: when this machine has none of that name.
    """
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise UsageError(f"device '{wanted}' is not there; write auto, cpu, cuda or cuda:1") from None
    return device


def _once(lines: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(lines))


def _note_strange(outputs: Tensor, start: int, faults: dict[int, str]) -> None:
    """Note the rows of which the network says nothing that is a number."""
    if not outputs.is_floating_point():
        return
    strange = ~outputs.flatten(1).isfinite().all(1) if outputs.ndim > 1 else ~outputs.isfinite()
    for row in strange.nonzero().flatten().tolist():
        faults.setdefault(start + row, "its numbers are too large: the network's answer is none")
