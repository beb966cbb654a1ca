import optuna


def objective(trial: optuna.Trial) -> float:
    return -(trial.suggest_float("x", -10, 10) ** 2)


study = optuna.create_study(direction="maximize")
study.optimize(objective, n_trials=1000000)
print(study.best_params)
