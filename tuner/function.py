"""A plain function ``objective(trial)`` as Optuna has it: what a study file may say about one, and what it returns."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from tuner import importing
from tuner.errors import SpecError, UsageError
from tuner.scripts import Script, read_script, returned_values
from tuner.search.strategies import ENUMERATE
from tuner.sections import Section

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

    from tuner.space import Scalar
    from tuner.spec import Search

Direction = Literal["minimize", "maximize"]


class FunctionOptions(Section):
    """``[objective]`` of a plain function ``objective(trial)``."""

    direction: Direction | list[Direction] | None = Field(
        None,
        description="of each value the function returns; default: as create_study has it in its file, else minimize",
    )
    metric: str | list[str] = Field("", description="a name for each value")
    constraints: str = Field(
        "", description="a function of the ended trial: the values it returns are above 0 where the trial is infeasible"
    )
    callbacks: str | list[str] = Field(
        [], description="functions (study, trial) that are called when a trial has ended"
    )

    def directions(self) -> list[Direction]:
        """Return the direction of each value the function returns."""
        return [self.direction or "minimize"] if not isinstance(self.direction, list) else list(self.direction)

    def names(self) -> list[str]:
        """Return a name for each value the function returns."""
        given = ([self.metric] if self.metric else []) if isinstance(self.metric, str) else list(self.metric)
        count = len(self.directions())
        if given and len(given) != count:
            raise UsageError(f"[objective]: metric names {len(given)} values, direction {count}; give one for each")
        return given or (["value"] if count == 1 else [f"value_{i}" for i in range(count)])


@dataclass(frozen=True, kw_only=True)
class LoadedFunction:
    """A plain function with its options checked and what they name imported."""

    function: Callable[[optuna.Trial], Any]
    options: FunctionOptions
    """Written out: what the function's file says is in them."""
    constraints: Callable[[FrozenTrial], Sequence[float]] | None = None
    callbacks: tuple[Callable[[optuna.Study, FrozenTrial], None], ...] = ()
    first: tuple[Mapping[str, Scalar], ...] = ()
    """The configurations that the function's file enqueues, where the study has no first ones of its own."""
    notes: tuple[str, ...] = ()
    """What was read from the function's file, for a person."""


def load_function(
    found: Any, module: ModuleType, options: FunctionOptions, search: Search, *, name: str, where: str
) -> LoadedFunction:
    """Return the function, or the instance of a class with ``__call__``, that ``found`` is.

    Raises:
        UsageError: when it cannot be called with a trial.
        SpecError: for options that name nothing to call.
    """
    function = _callable(found, name)
    notes: list[str] = []
    script = _script_of(module)
    options = _with_what_the_script_says(options, script, module, notes)
    callbacks = [options.callbacks] if isinstance(options.callbacks, str) else options.callbacks
    return LoadedFunction(
        function=function,
        options=options,
        constraints=_named(options.constraints, "constraints", module, name, where) if options.constraints else None,
        callbacks=tuple(_named(callback, "callbacks", module, name, where) for callback in callbacks),
        first=_first(script, search, notes),
        notes=tuple(notes),
    )


def check_count(loaded: LoadedFunction, *, where: str) -> None:
    """Refuse a function whose source shows that it returns more or fewer values than there are directions.

    Raises:
        SpecError: with what to write.
    """
    wanted, shown = len(loaded.options.directions()), returned_values(loaded.function)
    if shown is not None and shown != wanted:
        raise SpecError(f"{where} [objective]: {_wrong_count(shown, wanted)}")


def problem(values: Any, *, wanted: int) -> str | None:
    """Return what is wrong with what a function returned for ``wanted`` directions, or ``None``."""
    several = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    if len(several) != wanted:
        return _wrong_count(len(several), wanted)
    for value in several:
        if isinstance(value, str | bytes):
            return f"the objective returned {value!r}, a text and no number"
        try:
            number = float(value)
        except (TypeError, ValueError):
            hint = "; does each way through it end in a return?" if value is None else ""
            return f"the objective returned {value!r}, which is no number{hint}"
        except OverflowError:  # of a whole number with hundreds of digits
            return "the objective returned a number that is too large for a float"
        if math.isnan(number):
            return "the objective returned NaN"
    return None


def is_wrong_count(values: Any, *, wanted: int) -> bool:
    """Whether a function returned more or fewer values than there are directions."""
    return isinstance(values, Sequence) and not isinstance(values, str) and len(values) != wanted


def _wrong_count(returned: int, wanted: int) -> str:
    values = f"{returned} value{'s' * (returned != 1)}"
    directions = "one direction" if wanted == 1 else f"{wanted} directions"
    example = ",".join(["minimize"] * returned)
    return (
        f"the objective returns {values}, but the study has {directions}; "
        f"say for each whether to minimize or maximize it: -S objective.direction={example}"
    )


def _callable(found: Any, name: str) -> Callable[[Any], Any]:
    if isinstance(found, type):
        if not any("__call__" in vars(base) for base in found.__mro__):
            raise UsageError(
                f"{name}: a class without __call__; an objective is called with a trial, or is a Trainable"
            )
        try:
            inspect.signature(found).bind()
        except TypeError as error:
            example = f"objective = {found.__name__}(…)"
            raise UsageError(f"{name}: {error}; make one in its file, `{example}`, and name that") from None
        found = found()
    if not callable(found):
        raise UsageError(
            f"{name}: it is of type {type(found).__name__}; an objective is a function or a Trainable class"
        )
    try:
        inspect.signature(found).bind(None)
    except TypeError as error:
        raise UsageError(f"{name}: an objective is called with one argument, the trial: {error}") from None
    except ValueError:
        pass  # a built-in shows no signature
    function: Callable[[Any], Any] = found
    return function


def _script_of(module: ModuleType) -> Script:
    try:
        return read_script(inspect.getsource(module))
    except (OSError, TypeError):
        return Script()


def _first(script: Script, search: Search, notes: list[str]) -> tuple[Mapping[str, Scalar], ...]:
    """What the script enqueues, unless the study says otherwise."""
    if search.first is not None or search.sampler in ENUMERATE:
        return ()
    if script.enqueued:
        count = len(script.enqueued)
        what = "configuration that its enqueue_trial has is" if count == 1 else "configurations that it enqueues are"
        notes.append(f"the {what} tried first; -S 'search.first=[]' leaves {'it' if count == 1 else 'them'} out")
    if script.not_read:
        lines = ", ".join(map(str, script.not_read))
        notes.append(
            f"what it enqueues in line {lines} is left out: it is not written there as plain values, or the script has "
            "several studies; a study file has it as [[search.first]]"
        )
    return script.enqueued


def _with_what_the_script_says(
    options: FunctionOptions, script: Script, module: ModuleType, notes: list[str]
) -> FunctionOptions:
    written: dict[str, Any] = {}
    if options.direction is None:
        written["direction"] = _direction(script, notes)
    if script.constraints and not options.constraints and hasattr(module, script.constraints):
        written["constraints"] = script.constraints
        notes.append(f"constraints: {script.constraints}, as its sampler has it")
    return options.model_copy(update=written)


def _direction(script: Script, notes: list[str]) -> str | list[str]:
    if script.contradicts_itself:
        notes.append("its studies differ in direction: minimize is taken, -S objective.direction=… says otherwise")
    if not script.directions:
        return "minimize"
    if script.line and script.directions != ("minimize",):
        notes.append(f"{', '.join(script.directions)}: so create_study has it in line {script.line}")
    return script.directions[0] if len(script.directions) == 1 else list(script.directions)


def _named(written: str, key: str, module: ModuleType, objective: str, where: str) -> Any:
    """What an option names: ``name`` in the objective's own file, or ``file.py:name``."""
    path, colon, attribute = written.rpartition(":")
    owner = importing.import_module(path) if colon and path != objective.rpartition(":")[0] else module
    found = importing.attribute(owner, attribute, where=f"{where} [objective] {key}")
    if not callable(found):
        raise SpecError(f"{where} [objective]: {key} = '{written}' is of type {type(found).__name__}, not a function")
    return found
