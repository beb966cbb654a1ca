"""One objective with a constraint that the objective itself sets, as a class that is made with what it needs."""

import optuna


class Objective:
    def __init__(self, most: float = 1.0) -> None:
        self.most = most

    def __call__(self, trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 2)
        trial.set_constraint("spent", x - self.most)
        return x


def enough(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
    """Stop the study once a trial has come near to what may be spent."""
    if trial.value is not None and 0.5 <= trial.value <= 1:
        study.stop()


objective = Objective(most=1.0)

if __name__ == "__main__":
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=100, callbacks=[enough])
    print(study.best_params)
