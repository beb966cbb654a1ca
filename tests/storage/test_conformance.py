"""Optuna's own conformance suite, on every database."""

from __future__ import annotations

from optuna.testing.pytest_storages import StorageTestCase


class TestSQLStorage(StorageTestCase):
    """The fixture ``storage`` of conftest.py is what it tests."""
