"""Tables: rows of numbers, categories, booleans and dates, one or several target columns."""

from objectives.tables.table import Table

__all__ = ["Table"]
