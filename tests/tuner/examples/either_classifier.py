"""A space defined by running: which hyperparameters there are depends on the classifier that was drawn."""

import optuna
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_val_score
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier


def objective(trial: optuna.Trial) -> float:
    inputs, targets = load_iris(return_X_y=True)
    if trial.suggest_categorical("classifier", ["svc", "tree"]) == "svc":
        model = SVC(C=trial.suggest_float("svc_c", 1e-3, 1e3, log=True))
    else:
        model = DecisionTreeClassifier(max_depth=trial.suggest_int("tree_depth", 1, 8), random_state=trial.number)
    scores = cross_val_score(model, inputs, targets, cv=3)
    trial.set_user_attr("spread", float(scores.std()))
    return float(scores.mean())


if __name__ == "__main__":
    study = optuna.create_study(direction="maximize")
    study.optimize(objective, n_trials=100)
    print(study.best_trial)
