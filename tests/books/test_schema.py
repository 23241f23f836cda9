"""What the columns are, in each language."""

from __future__ import annotations

from lexoffice_nb.books import schema_de
from lexoffice_nb.books.schema import TABLES, says
from lexoffice_nb.books.sql import tables


def test_every_column_says_what_it_is_in_both_languages_and_no_other_one_does() -> None:
    english = {name: list(table.columns) for name, table in TABLES.items()}
    assert {name: list(columns) for name, columns in schema_de.COLUMNS.items()} == english
    for table, columns in english.items():
        for column in columns:
            words = [says(table, column, language) for language in ("en", "de")]
            assert all(words), (table, column)
            assert words[0] != words[1], (table, column)


def test_the_list_of_tables_is_in_the_language_that_is_asked_for() -> None:
    said = {language: tables(language)["says"] for language in ("en", "de")}
    assert said["en"][0] == "its id"
    assert said["de"][0] == "ID des Belegs"
