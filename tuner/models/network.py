"""A kept network, made again from its files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tuner.errors import DataError, TunerError, UsageError
from tuner.failures import is_out_of_memory
from tuner.models.naming import WEIGHTS

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from tuner.models.cards import Files
    from tuner.models.samples import Samples
    from tuner.trainable import Trainable


class KeptNetwork:
    """A network with its weights, and the trainable that made it, which reads its samples."""

    def __init__(
        self, trainable: Trainable, files: Files, params: Mapping[str, Any], *, device: torch.device, where: str
    ) -> None:
        """Make the network of ``params`` and give it the weights of ``files``; ``where`` names the model.

        Raises:
            DataError: when the files do not hold what the objective needs.
            UsageError: when the objective cannot make its networks without its data.
            ObjectiveError: when the objective's own code fails.
        """
        self.trainable = trainable
        self.params = params
        self.held = {name: content for name, content in files.items() if name != WEIGHTS}
        """What the objective kept beside the weights."""
        self._device = device
        self._module = self._restored(files, where)

    def samples(self, data: Any) -> Samples:
        """Return new samples as this network is called with them; see :meth:`tuner.trainable.Trainable.samples`."""
        with own_errors():
            return self.trainable.samples(data, self.params)

    def outputs(self, inputs: tuple[Tensor, ...], where: str) -> Tensor:
        """Return what the network says of a batch of samples, on the host; ``where`` names the data."""
        try:
            return self.trainable.infer(self._module, inputs).cpu()
        except Exception as error:
            if self._overrides("samples") or isinstance(error, TunerError) or is_out_of_memory(error):
                raise
            shapes = ", ".join(str(list(one.shape[1:])) for one in inputs)
            raise DataError(
                f"{where}: the network cannot be called with samples {shapes}: {_first_line(error)}; where they are to "
                f"be read otherwise, write {type(self.trainable).__name__}.samples(data, params)"
            ) from error

    def _restored(self, files: Files, where: str) -> nn.Module:
        from tuner.models.warm_start import WarmStart, parsed

        if WEIGHTS not in files:
            raise DataError(f"the model '{where}' has no {WEIGHTS}")
        weights = WarmStart(where=where, weights=parsed(files[WEIGHTS], where))
        with own_errors():
            self.trainable.restore(self.held, self.params)
            module = self._made()
        fit = weights.fit(module)
        if not fit.whole:
            raise DataError(f"the weights of the model '{where}' do not fit its network: {fit.said()}")
        weights.apply(module)
        return module.to(self._device).eval()

    def _made(self) -> nn.Module:
        try:
            return self.trainable.network(self.params)
        except Exception as error:
            if self._overrides("restore") or isinstance(error, TunerError):
                raise
            name = type(self.trainable).__name__
            raise UsageError(
                f"{name}.network(params) fails where load() has not been called ({_first_line(error)}); write "
                f"{name}.artifacts(params) to keep what it needs, and {name}.restore(files, params) to read it again"
            ) from error

    def _overrides(self, method: str) -> bool:
        """Whether the objective has a method of its own in place of the default one."""
        from tuner.trainable import Trainable

        return getattr(type(self.trainable), method) is not getattr(Trainable, method)


@contextmanager
def own_errors() -> Iterator[None]:
    """Tell an error of an objective's own code from one of ours."""
    try:
        yield
    except (TunerError, OSError):
        raise
    except Exception as error:
        from tuner.tryout import objectives_own

        raise objectives_own(error) from error


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
