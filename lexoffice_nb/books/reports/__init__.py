"""Questions to the books, as pure functions of their tables.

Each takes `Frames` and gives a `Plan`: what it asks the engine, not computed yet, and how the rows are made of the
answers. `collect` computes it. The same plan gives the same cents on DuckDB, Polars, pandas and Spark.
"""

from lexoffice_nb.books.reports.frames import Frames, Plan, collect
from lexoffice_nb.books.reports.open_items import BUCKETS, ageing, open_items
from lexoffice_nb.books.reports.periods import days
from lexoffice_nb.books.reports.reconcile import CHECKS, missing, reconcile
from lexoffice_nb.books.reports.revenue import articles, customers, revenue
from lexoffice_nb.books.reports.vat import vat

__all__ = [
    "BUCKETS",
    "CHECKS",
    "Frames",
    "Plan",
    "ageing",
    "articles",
    "collect",
    "customers",
    "days",
    "missing",
    "open_items",
    "reconcile",
    "revenue",
    "vat",
]
