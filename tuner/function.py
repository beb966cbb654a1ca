"""A plain function ``objective(trial)`` as Optuna has it: what a study file may say about one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tuner.errors import UsageError
from tuner.sections import Section

Direction = Literal["minimize", "maximize"]


class FunctionOptions(Section):
    """``[objective]`` of a plain function ``objective(trial)``."""

    direction: Direction | list[Direction] = Field("minimize", description="of each value the function returns")
    metric: str | list[str] = Field("", description="a name for each value")

    def directions(self) -> list[str]:
        """Return the direction of each value the function returns."""
        return [self.direction] if isinstance(self.direction, str) else list(self.direction)

    def names(self) -> list[str]:
        """Return a name for each value the function returns."""
        given = ([self.metric] if self.metric else []) if isinstance(self.metric, str) else list(self.metric)
        count = len(self.directions())
        if given and len(given) != count:
            raise UsageError(f"[objective]: metric names {len(given)} values, direction {count}; give one for each")
        return given or (["value"] if count == 1 else [f"value_{i}" for i in range(count)])
