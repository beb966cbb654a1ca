"""Scripts as people write them for Optuna: each runs by itself, and unchanged with `tuner start FILE:objective`."""
