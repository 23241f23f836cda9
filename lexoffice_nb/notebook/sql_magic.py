"""`%%lexoffice_sql`: SQL over the books of a session, and what Tab proposes inside of it.

Nothing of the notebook is written into the statement, as `{x}` would be: text that somebody else wrote could then
become SQL. `$x` stands for the value of the variable x, which DuckDB is handed beside the statement.
"""

from __future__ import annotations

import builtins
import keyword
import re
import sys
from contextlib import closing
from typing import TYPE_CHECKING

from IPython.core.completer import SimpleCompletion

from lexoffice_nb.errors import BooksError, LexofficeError
from lexoffice_nb.notebook.command_line import looks_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from IPython.core.completer import CompletionContext, SimpleMatcherResult
    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.books.books import Books
    from lexoffice_nb.books.report import Report

MAGIC = "%%lexoffice_sql"
_SQL = (
    "SELECT FROM WHERE GROUP BY ALL HAVING ORDER LIMIT OFFSET DISTINCT AS WITH UNION INTERSECT EXCEPT JOIN LEFT RIGHT "
    "FULL INNER CROSS ON USING AND OR NOT IN IS NULL LIKE ILIKE BETWEEN EXISTS CASE WHEN THEN ELSE END ASC DESC NULLS "
    "FIRST LAST OVER PARTITION QUALIFY FILTER VALUES DESCRIBE SUMMARIZE CAST DATE INTERVAL DECIMAL VARCHAR INTEGER "
    "sum count min max avg round abs coalesce extract date_trunc year month quarter strftime current_date lower upper"
)
_WORDS = tuple(_SQL.split())
# What a comment or text holds is no name; each is replaced by blanks of its length.
_SILENT = re.compile(r"--[^\n]*|/\*.*?(?:\*/|\Z)|'(?:[^']|'')*(?:'|\Z)", re.DOTALL)
_SOURCE = re.compile(r"\b(?:FROM|JOIN)\s+(\w+)(?:\s+(?:AS\s+)?(\w+))?", re.IGNORECASE)
_AFTER_FROM = re.compile(r"\b(?:FROM|JOIN|DESCRIBE|SUMMARIZE)\s+$|\bFROM\s+(?:\w+(?:\s+\w+)?\s*,\s*)+$", re.IGNORECASE)
_BEGUN = re.compile(r"(\$?)(?:(\w+)\.)?(\w*)$")
_LONGEST_CELL = 20_000  # characters; in a longer one Tab would be slow


def run_cell(
    shell: InteractiveShell, name: str | None, session_name: str, cell: str, results: dict[str, object]
) -> Report:
    """Runs a cell, and gives its answer; an empty one lists the tables.

    Args:
        shell: where the variables are.
        name: the variable for the answer, or None.
        session_name: the variable of the session.
        cell: the statement.
        results: what this magic has put into variables, by name; added to.

    Raises:
        LexofficeError: if there is no session, or the variable is the person's, or the statement cannot be run.
    """
    if name is not None:
        _check_name(shell, name, results)
    if not cell.strip():
        from lexoffice_nb.books.sql import tables

        report = tables()
    else:
        books = _books(shell, session_name)
        from lexoffice_nb.books.sql import run

        with closing(books.connection()) as connection:
            report = run(connection, cell, shell.user_ns)
    if name is not None:
        shell.push({name: report}, interactive=True)  # type: ignore[no-untyped-call]  # IPython's own
        results[name] = report
    return report


def _check_name(shell: InteractiveShell, name: str, results: Mapping[str, object]) -> None:
    if looks_secret(name):
        raise LexofficeError("secret_in_cell")
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise LexofficeError("name_invalid")
    if hasattr(builtins, name):
        raise LexofficeError("name_builtin", name=name)
    missing = object()
    there = shell.user_ns.get(name, missing)
    if there is not missing and there is not results.get(name, missing):
        raise BooksError("sql_taken", name=name)


def _books(shell: InteractiveShell, name: str) -> Books:
    module = sys.modules.get("lexoffice_nb.session")
    session = shell.user_ns.get(name)
    if module is None or not isinstance(session, module.LexofficeSession):
        shown = name if name.isidentifier() and not looks_secret(name) else "…"
        raise BooksError("sql_session", name=shown)
    books: Books = session.books
    if not books.store.folder.exists():
        raise BooksError("sql_no_books", name=name)
    return books


# --- completion -------------------------------------------------------------------------------------------------------


def complete(shell: InteractiveShell, context: CompletionContext) -> SimpleMatcherResult | None:
    """Gives the tables, columns and words that can stand at the cursor; None outside the body of such a cell."""
    head, newline, _ = context.full_text.lstrip().partition("\n")
    if head.split(" ")[0] != MAGIC or not newline or len(context.full_text) > _LONGEST_CELL:
        return None
    lines = context.full_text.split("\n")
    before = "\n".join([*lines[: context.cursor_line], context.text_until_cursor])
    if "\n" not in before.lstrip():
        return None  # in the line of the magic
    body = "\n" + context.full_text.lstrip().partition("\n")[2]
    before = "\n" + before.lstrip().partition("\n")[2]
    quiet = _SILENT.sub(_blanks, before)
    begun = _BEGUN.search(before)
    if begun is None or not quiet.endswith(begun[0] or tuple(" \n(,=<>+-*/")):
        return _found([], "")  # in a text or a comment
    dollar, owner, word = begun[1], begun[2], begun[3]
    if dollar:
        return _found(_of("variable", _variables(shell, word)), word)
    if owner:
        return _found(_of("column", _columns_of(_SILENT.sub(_blanks, body), owner)), word)
    return _found(_anywhere(_SILENT.sub(_blanks, body), quiet[: len(quiet) - len(word)], word), word)


def _blanks(match: re.Match[str]) -> str:
    return " " * (len(match[0]) - 1) + "\0"  # the end of it is no end of a word


def _of(kind: str, texts: Iterable[str]) -> list[tuple[str, str]]:
    return [(each, kind) for each in texts]


def _found(proposed: Iterable[tuple[str, str]], word: str) -> SimpleMatcherResult:
    """Gives what begins with a word, each text once, with what it is: JupyterLab shows that beside it."""
    kinds: dict[str, str] = {}
    for each, kind in proposed:
        if each.lower().startswith(word.lower()):
            kinds.setdefault(each, kind)
    return {
        "completions": [SimpleCompletion(each, type=kind) for each, kind in kinds.items()],
        "matched_fragment": word,
        "suppress": True,
        "ordered": True,
    }


def _sources(body: str) -> dict[str, str]:
    """Gives the tables that a statement reads, by the names that it gives them."""
    from lexoffice_nb.books.schema import TABLES

    words = {each.lower() for each in _WORDS}
    found: dict[str, str] = {}
    for table, alias in _SOURCE.findall(body):
        if table.lower() in TABLES:
            found[table.lower()] = table.lower()
            if alias and alias.lower() not in words:
                found[alias.lower()] = table.lower()
    return found


def _columns_of(body: str, owner: str) -> list[str]:
    from lexoffice_nb.books.schema import TABLES

    table = _sources(body).get(owner.lower(), owner.lower())
    return list(TABLES[table].columns) if table in TABLES else []


def _anywhere(body: str, before: str, word: str) -> list[tuple[str, str]]:
    from lexoffice_nb.books.schema import TABLES

    if _AFTER_FROM.search(before):
        return _of("table", TABLES)
    named = dict.fromkeys(_sources(body).values()) or TABLES
    columns = [column for table in named for column in TABLES[table].columns]
    found = _of("column", columns) + _of("table", TABLES)
    if not word:
        return found
    case: Callable[[str], str] = str.upper if word.isupper() else str.lower
    return found + _of("keyword", map(case, _WORDS))


def _variables(shell: InteractiveShell, word: str) -> list[str]:
    """Gives the variables that SQL has a type for, so no session and nothing else with a secret in it."""
    from datetime import date
    from decimal import Decimal

    hidden = shell.user_ns_hidden
    kinds = (bool, int, float, str, Decimal, date, list, tuple)
    return sorted(
        name
        for name, value in shell.user_ns.items()
        if isinstance(value, kinds) and name not in hidden and (word.startswith("_") or not name.startswith("_"))
    )
