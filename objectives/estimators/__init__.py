"""scikit-learn's estimators as objectives: the same tables, metrics and verdict as networks have."""

from objectives.estimators.objective import EstimatorObjective, objective_of

__all__ = ["EstimatorObjective", "objective_of"]
