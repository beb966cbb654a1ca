"""Two objectives and two constraints, which a sampler reads from the trial's attributes (Binh and Korn, 1997)."""

from collections.abc import Sequence

import optuna


def objective(trial: optuna.Trial) -> tuple[float, float]:
    x = trial.suggest_float("x", 0, 5)
    y = trial.suggest_float("y", 0, 3)
    trial.set_user_attr("constraints", [(x - 5) ** 2 + y**2 - 25, 7.7 - (x - 8) ** 2 - (y + 3) ** 2])
    return 4 * x**2 + 4 * y**2, (x - 5) ** 2 + (y - 5) ** 2


def constraints(trial: optuna.trial.FrozenTrial) -> Sequence[float]:
    values: Sequence[float] = trial.user_attrs["constraints"]
    return values


if __name__ == "__main__":
    sampler = optuna.samplers.NSGAIISampler(constraints_func=constraints)
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.optimize(objective, n_trials=100)
    print(len(study.best_trials))
