"""A person's SQL over the books: a DuckDB connection that reaches nothing else, and statements that only read.

Two walls, each of which holds alone against reading outside the books. The engine: a connection of `safe_connection`
opens files below the organisation's folder only, loads no extension, and cannot be told otherwise. The statement:
`run` takes one SELECT, as DuckDB's own parser understands it, over the tables of `schema.TABLES` and functions that
compute; what names a file, a setting or a secret is refused before it is run. The first wall alone does not keep a
statement from writing into the folder itself (`COPY … TO`): that is what the second one is for.

Sums of DECIMAL are exact. A division or an average in SQL gives DOUBLE, a binary fraction: the answer says so.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
import tempfile
import threading
import weakref
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

import duckdb

from lexoffice_nb.books.schema import TABLES, says
from lexoffice_nb.books.store import interrupts
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import current_language, from_server, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from lexoffice_nb.books.report import Kind, Report

MOST_ROWS = 100_000
MOST_CHARACTERS = 100_000_000  # of text in one answer; some 200 MB of memory
# A value inside of another, such as a number in a list, takes in Python what so many characters take.
_NESTED = 64
_WRITTEN = 8  # the same for each character that a structure is written with
MOST_OF_A_MESSAGE = 400
MEMORY = "1GB"
SPILL = "8GB"
MOST_THREADS = 8
# How long an interrupted query may take to stop before it is left to itself.
PATIENCE = 0.7  # seconds
_AT_ONCE = 1000  # rows
_SPILL_NAME = "lexoffice_nb-sql-"

# What stands in FROM with parentheses, and computes only.
_TABLE_FUNCTIONS = frozenset({"generate_series", "json_each", "json_tree", "range", "unnest"})
# Gives something else each time, and does nothing else.
_HARMLESS = frozenset({"random", "uuid", "uuidv4", "uuidv7", "gen_random_uuid", "error"})
# Files, settings (which name folders), other statements, the engine's own state. Also those of an engine to come.
_FORBIDDEN = re.compile(
    r"(read|write|scan|copy|load|glob|sniff|file|fetch|http|pragma|duckdb|pg|inet|query|shell|system)(_.*)?"
    r"|.*_(scan|file|files|read|write|secret|secrets|setting|settings|serialized_sql|serialize_plan|glob|blob_file)"
    r"|getenv|getvariable|current_setting|current_query|which_secret|set_?config|in_search_path|sleep.*"
)
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_FROM_KINDS = frozenset(
    {"BASE_TABLE", "EMPTY", "EMPTY_FROM", "EXPRESSION_LIST", "JOIN", "PIVOT", "SHOW_REF", "SUBQUERY", "TABLE_FUNCTION"}
)
_CATALOGUE = frozenset({"tables", "columns"})  # of information_schema: names of ours alone
_SHOWN = frozenset({'"tables"', "__show_tables_expanded"})
_SCALARS = (bool, int, float, str, Decimal, date, time, timedelta)  # a datetime is a date
_DECIMAL = re.compile(r"DECIMAL\(\d+,\s*\d+\)")
_COUNTS = frozenset({"BIGINT", "HUGEINT", "UBIGINT", "UHUGEINT"})
_FRACTIONS = frozenset({"DOUBLE", "FLOAT"})
# Types, as DuckDB's Python names them, each value of which takes a few bytes at most.
_SMALL = re.compile(
    r"boolean|u?(tiny|small|big|huge)?int|u?integer|float|double|decimal|date|time.*|interval|uuid|enum|(sql)?null"
)
_HINT = re.compile(r"(?:Candidate|Did you mean|HINT:?)[^\n]*")
# Absolute paths, of which a person can use none.
_PATH = re.compile(r"(?:file:/+|[A-Za-z]:[\\/]|(?<![\w.:)\]])[/\\])[^\s'\"]*[/\\][^\s'\"]*")


class Books(Protocol):
    """What is needed of a store: its folder, and that it makes its tables known to a connection."""

    @property
    def folder(self) -> Path:
        """The organisation's folder."""

    def connect(self, connection: duckdb.DuckDBPyConnection) -> object:
        """Makes views of the tables in a connection."""


@dataclass(frozen=True)
class Answer:
    """What a statement gave.

    Attributes:
        names: of the columns, each once.
        types: theirs, as DuckDB calls them.
        rows: Decimal for DECIMAL, date for DATE, float for DOUBLE alone.
        complete: whether these are all rows.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    complete: bool

    def report(self, title: str = "SQL") -> Report:
        """Gives it as a report."""
        from lexoffice_nb.books.report import Column, Report

        notes = [] if self.complete else [text("sql.more", number=f"{len(self.rows)}")]
        rough = [name for name, kind in zip(self.names, self.types, strict=True) if kind in _FRACTIONS]
        if rough:
            notes.append(text("sql.float", names=", ".join(rough)))
        columns = [Column(name, _kind(of), label=name) for name, of in zip(self.names, self.types, strict=True)]
        rows = [dict(zip(self.names, row, strict=True)) for row in self.rows]
        return Report(title, columns, rows, notes=notes, currency=None)


def _kind(of: str) -> Kind:
    if _DECIMAL.fullmatch(of) or of in _FRACTIONS:
        return "number"
    if of in _COUNTS:
        return "count"
    return "date" if of == "DATE" else "text"


# --- the connection ---------------------------------------------------------------------------------------------------


def safe_connection(store: Books) -> duckdb.DuckDBPyConnection:
    """Gives a DuckDB connection in memory that has the books' tables and reaches nothing outside their folder.

    It installs and loads no extension, keeps no secret, sees no variable of Python, and its settings are locked. What
    does not fit into its memory goes to a folder of its own that only this user can read, and that is removed.

    Raises:
        BooksError: `sql_link` if somebody has put a link into the folder, `sql_unreadable` if it cannot be read.
    """
    folder = Path(os.path.realpath(store.folder))
    _refuse_links(folder)
    connection = duckdb.connect(":memory:")
    try:
        spill = _Spill()
        weakref.finalize(connection, spill.remove)
        with interrupts():
            _lock_in(connection, folder, spill.folder)
            store.connect(connection)
            connection.execute("SET GLOBAL lock_configuration = true")
    except duckdb.Error as error:
        connection.close()
        problem = _problem(error)
    except BaseException:
        connection.close()
        raise
    else:
        return connection
    raise problem


def _lock_in(connection: duckdb.DuckDBPyConnection, folder: Path, spill: Path) -> None:
    # In Jupyter DuckDB would draw a progress bar of its own.
    connection.execute("SET enable_progress_bar = false")
    settings = {
        "temp_directory": _quoted(spill / "duckdb"),
        "max_temp_directory_size": f"'{SPILL}'",
        "memory_limit": f"'{MEMORY}'",
        "threads": str(min(os.cpu_count() or 1, MOST_THREADS)),
        "TimeZone": "'Europe/Berlin'",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "allow_persistent_secrets": "false",
        "allowed_directories": f"[{_quoted(folder)}]",
        "enable_external_access": "false",
    }
    for name, value in settings.items():
        connection.execute(f"SET GLOBAL {name} = {value}")
    connection.execute("SET python_enable_replacements = false")


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _refuse_links(folder: Path) -> None:
    """A link in the folder would be followed by some versions of DuckDB to wherever it leads."""
    for above, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with contextlib.suppress(FileNotFoundError):  # another notebook has just put its parts together
                state = (Path(above) / name).lstat()
                if stat.S_ISLNK(state.st_mode) or (stat.S_ISREG(state.st_mode) and state.st_nlink > 1):
                    raise BooksError("sql_link", name=from_server(name))


class _Spill:
    """A folder for what does not fit into memory. DuckDB makes one of its own in it, and removes that at its end."""

    def __init__(self) -> None:
        _sweep()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{_SPILL_NAME}{os.getpid()}-"))  # 0700

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _sweep() -> None:
    """Removes what processes of this user that were killed have left; on Windows one cannot ask whether one lives."""
    if os.name != "posix":
        return
    for folder in Path(tempfile.gettempdir()).glob(f"{_SPILL_NAME}*-*"):
        with contextlib.suppress(OSError, ValueError):
            state = folder.lstat()
            if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid() and not _is_alive(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _is_alive(folder: Path) -> bool:
    try:
        os.kill(int(folder.name.removeprefix(_SPILL_NAME).partition("-")[0]), 0)
    except ProcessLookupError:
        return False
    return True


# --- statements -------------------------------------------------------------------------------------------------------


def run(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: Mapping[str, object] | None = None
) -> Report:
    """Runs one SELECT over the books, and gives its answer as a report.

    Args:
        connection: of `safe_connection`.
        statement: SELECT, also as WITH, VALUES, FROM, DESCRIBE or SUMMARIZE.
        parameters: the values for what is written `$name` in it; others are ignored.

    Raises:
        BooksError: `sql_…`, if it is no such statement, reaches for something else, or DuckDB refuses it.
        KeyboardInterrupt: within a second after it was interrupted.
    """
    return ask(connection, statement, parameters).report()


def ask(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: Mapping[str, object] | None = None
) -> Answer:
    """Runs one SELECT as `run` does, and gives its rows: 100 000 at most, and 100 MB of text."""
    cursor = connection.cursor()  # so that whatever the person has open in the connection stays open
    try:
        with interrupts():
            checked = check(cursor, statement)
        values = _values(checked.named_parameters, parameters or {})
        return _Query(cursor, checked, values).answer()
    except duckdb.Error as error:
        problem = _problem(error)
    raise problem


def check(connection: duckdb.DuckDBPyConnection, statement: str) -> duckdb.Statement:
    """Gives the statement if it is one, and only reads the books.

    Raises:
        BooksError: if it is not.
    """
    try:
        statement.encode()
        statements = connection.extract_statements(statement)
    except UnicodeEncodeError:
        statements = []
    except duckdb.Error as error:
        _refuse(error)
    if not statements:
        raise BooksError("sql_empty")
    only = statements[0]
    kind = _kind_of(only)
    if len(statements) > 1 or kind == "MULTI":
        if re.search(r"\bPIVOT\b", statement, re.IGNORECASE) and len({each.query for each in statements}) == 1:
            raise BooksError("sql_pivot")  # to find its columns DuckDB would make a type of them first
        raise BooksError("sql_several", number=len(statements))
    if kind != "SELECT":
        raise BooksError("sql_only_select", kind=kind.replace("_", " "))
    tree = _tree(connection, only.query)
    _Guard(connection).check(tree)
    return only


def _kind_of(statement: duckdb.Statement) -> str:
    try:
        return statement.type.name
    except ValueError:  # one that DuckDB's own Python does not know
        return "…"


def _tree(connection: duckdb.DuckDBPyConnection, statement: str) -> Any:
    """Gives the statement as DuckDB's own parser understands it."""
    try:
        row = connection.execute("SELECT json_serialize_sql(CAST(? AS VARCHAR))", [statement]).fetchone()
        tree = json.loads(row[0]) if row else {}
    except (RecursionError, ValueError):
        tree = {}
    statements = tree.get("statements", ())
    # None where DuckDB cannot write it down: what cannot be looked through is not run.
    if tree.get("error", True) or len(statements) != 1:
        raise BooksError("sql_unclear")
    return statements[0]


class _Guard:
    """Looks through a statement for all that is no table of ours and no function that computes."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._named: set[str] = set()

    def check(self, tree: Any) -> None:
        """Raises a BooksError if something in the statement reaches beyond the books."""
        parts = list(_parts(tree))
        self._named = {name.lower() for part in parts for name in _names_given(part)}
        if odd := [name for name in self._named if not _PLAIN_NAME.fullmatch(name)]:
            raise BooksError("sql_name", name=from_server(odd[0]))
        # Outside of where it was given, such a name would mean DuckDB's own view.
        if taken := self._named & self._engines_own():
            raise BooksError("sql_name", name=from_server(min(taken)))
        for part in parts:
            self._check_part(part)
        self._check_functions(parts)

    def _engines_own(self) -> set[str]:
        rows = self._connection.execute(
            "SELECT lower(view_name) FROM duckdb_views() WHERE internal AND schema_name <> 'information_schema'"
        ).fetchall()
        return {name for (name,) in rows}

    def _check_part(self, part: dict[str, Any]) -> None:
        for key in ("from_table", "source", "left", "right"):
            inner = part.get(key)
            if isinstance(inner, dict) and _is_from(part, key) and inner.get("type") not in _FROM_KINDS:
                raise BooksError("sql_unclear")
        kind = part.get("type")
        if kind == "BASE_TABLE":
            self._check_table(part)
        elif kind == "TABLE_FUNCTION":
            name = _name_of(part.get("function") or {})
            if name not in _TABLE_FUNCTIONS:
                raise BooksError("sql_function", name=from_server(name))
        elif kind == "SHOW_REF" and not part.get("query"):
            name = str(part.get("table_name", ""))
            if name not in _SHOWN:
                raise BooksError("sql_function", name=from_server("SHOW " + name.strip('"')))

    def _check_table(self, part: Mapping[str, Any]) -> None:
        catalog, schema, name = (str(part.get(k) or "").lower() for k in ("catalog_name", "schema_name", "table_name"))
        if schema == "information_schema" and not catalog and name in _CATALOGUE:
            return
        ours = name in TABLES and catalog in ("", "memory") and schema in ("", "main")
        # With two names the first may be a database: memory.vouchers.
        ours = ours or (name in TABLES and not catalog and schema == "memory")
        if not ours and (catalog or schema or name not in self._named):
            given = str(part.get("table_name", ""))
            raise BooksError("sql_table", name=from_server(given, 60), there=", ".join(TABLES))

    def _check_functions(self, parts: Iterable[Mapping[str, Any]]) -> None:
        calls = [part for part in parts if part.get("class") in ("FUNCTION", "WINDOW")]
        names = {_name_of(call) for call in calls} - _TABLE_FUNCTIONS - {""}
        for name in sorted(names):
            if _FORBIDDEN.fullmatch(name):
                raise BooksError("sql_function", name=from_server(name))
        rows = self._connection.execute(
            "SELECT DISTINCT lower(function_name) FROM duckdb_functions()"
            " WHERE lower(function_name) IN (SELECT unnest(CAST(? AS VARCHAR[])))"
            " AND (stability = 'VOLATILE' OR function_type IN ('table', 'pragma', 'table_macro'))",
            [sorted(names)],
        ).fetchall()
        for name in sorted(str(name) for (name,) in rows):
            if name not in _HARMLESS and not self._computes(name):
                raise BooksError("sql_function", name=from_server(name))

    def _computes(self, name: str) -> bool:
        """Tells whether there is a scalar function or an aggregate of a name that a table function has as well."""
        row = self._connection.execute(
            "SELECT count(*) FROM duckdb_functions() WHERE lower(function_name) = ?"
            " AND function_type IN ('scalar', 'aggregate', 'macro') AND stability IS DISTINCT FROM 'VOLATILE'",
            [name],
        ).fetchone()
        return bool(row and row[0])


def _is_from(part: Mapping[str, Any], key: str) -> bool:
    """Tells whether a member is something that rows are taken from, and no operand."""
    return {"from_table": True, "source": part.get("type") == "PIVOT"}.get(key, part.get("type") == "JOIN")


def _name_of(call: Mapping[str, Any]) -> str:
    return str(call.get("function_name", "")).lower()


def _parts(tree: Any) -> Iterable[dict[str, Any]]:
    """Gives all objects in a tree, without recursion: a statement may be nested as deeply as it likes."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def _names_given(part: Mapping[str, Any]) -> Iterable[str]:
    """Gives the names that WITH gives to queries."""
    named = part.get("cte_map")
    entries = named.get("map", ()) if isinstance(named, dict) else ()
    yield from (str(entry["key"]) for entry in entries if isinstance(entry, dict) and "key" in entry)
    yield from (str(part[key]) for key in ("cte_name", "ctename") if part.get(key))


def _values(names: Iterable[str], given: Mapping[str, object]) -> dict[str, Any]:
    values = {}
    for name in sorted(names):
        if name.isdigit():
            raise BooksError("sql_parameter_number")
        if name not in given:
            raise BooksError("sql_parameter_missing", name=from_server(name))
        value = given[name]
        if not _is_bindable(value):
            raise BooksError("sql_parameter_type", name=from_server(name), kind=type(value).__name__)
        values[name] = list(value) if isinstance(value, (list, tuple)) else value
    return values


def _is_bindable(value: object) -> bool:
    if isinstance(value, (list, tuple)):
        return all(each is None or isinstance(each, _SCALARS) for each in value)
    return value is None or (isinstance(value, _SCALARS) and not (isinstance(value, Decimal) and not value.is_finite()))


# --- running ----------------------------------------------------------------------------------------------------------


class _Query:
    """A query in a thread of its own: so Ctrl-C reaches the thread that waits for it at once, whatever it is at."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection, statement: duckdb.Statement, values: dict[str, Any]) -> None:
        self._cursor = cursor
        self._statement = statement
        self._values = values
        self._stopped = False
        self._done = threading.Event()
        self._answer: Answer | None = None
        self._error: Exception | None = None

    def answer(self) -> Answer:
        worker = threading.Thread(target=self._work, name="lexoffice-nb sql", daemon=True)
        try:
            worker.start()
            while not self._done.wait(0.2):  # on Windows only a wait that ends can be interrupted
                pass
        except BaseException:
            self._stop()
            raise
        error, self._error = self._error, None
        if error is not None:
            raise error
        if self._answer is None:
            raise BooksError("sql_unclear")
        return self._answer

    def _stop(self) -> None:
        self._stopped = True
        # Again and again: before it has begun, DuckDB forgets that it was told so. A single function over a very
        # long list does not listen; then it is left to its own end, with nobody waiting for it.
        for _ in range(int(PATIENCE / 0.05)):
            self._cursor.interrupt()
            if self._done.wait(0.05):
                break

    def _work(self) -> None:
        try:
            self._answer = self._fetch()
        except Exception as error:  # noqa: BLE001 - raised anew where it is waited for
            self._error = error
        finally:
            self._done.set()

    def _fetch(self) -> Answer:
        if self._stopped:
            return Answer((), (), [], complete=False)
        names, types, measured = self._measured()
        self._cursor.execute(measured or self._statement, self._values or None)
        rows: list[tuple[Any, ...]] = []
        complete = False
        while not self._stopped and len(rows) <= MOST_ROWS:
            more = self._cursor.fetchmany(_AT_ONCE)
            if not more:
                complete = True
                break
            if measured:
                fitting = [row[:-1] for row in more if not row[-1]]
                rows += fitting
                if len(fitting) < len(more):
                    break
            else:
                rows += more
        if not rows and not complete and not self._stopped:
            raise BooksError("sql_memory", limit=f"{MOST_CHARACTERS // 1_000_000} MB")
        return Answer(names, types, rows[:MOST_ROWS], complete=complete and len(rows) <= MOST_ROWS)

    def _measured(self) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        """Gives the names and types of the columns, and where one may hold long values a statement that measures them.

        DuckDB measures, before anything becomes an object of Python: a list or a text of a gigabyte could not be
        looked at afterwards. From the row on with which the answer is too long all are empty, and its last column,
        which is nobody's, says so.
        """
        inner = _without_end(self._statement.query)
        self._cursor.execute(f"DESCRIBE FROM (\n{inner}\n)", self._values or None)
        described = [(str(name), str(of)) for name, of, *_ in self._cursor.fetchall()]
        for name, of in described:
            if "WITH TIME ZONE" in of:  # to read one, DuckDB needs a package that is not there
                raise BooksError("sql_time_zone", name=from_server(name))
        names, types = _unique([name for name, _ in described]), tuple(of for _, of in described)
        own = [f"c{n}" for n in range(len(names))]
        weights = [
            weight for name, of in zip(own, types, strict=True) if (weight := _weight(name, self._cursor.dtype(of)))
        ]
        if not weights:
            return names, types, ""
        # Only with this frame does DuckDB add up row by row, in their order, and keep none of them.
        sums = " + ".join(f"coalesce({weight}, 0)" for weight in weights)
        running = f"sum({sums}) OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) > {MOST_CHARACTERS}"
        shown = ", ".join(f"CASE WHEN over_ THEN NULL ELSE {name} END" for name in own)
        rows = f"SELECT *, {running} AS over_ FROM (\n{inner}\n) AS answer_({', '.join(own)})"  # noqa: S608 - checked
        measured = f"SELECT {shown}, over_ FROM ({rows})"  # noqa: S608 - as above
        check(self._cursor, measured)  # what was put round it must not have made anything else of it
        return names, types, measured


def _without_end(statement: str) -> str:
    """Gives one statement without its semicolon, and the comments behind it."""
    written = statement.encode()
    ends = [at for at, kind in duckdb.tokenize(statement) if written[at : at + 1] == b";" and "operator" in str(kind)]
    return written[: min(ends, default=None)].decode()


def _weight(value: str, of: Any, depth: int = 0) -> str:
    """Writes how many characters a value takes at most, roughly, in SQL; nothing where it is always few."""
    if _SMALL.fullmatch(of.id):
        return ""
    if of.id == "varchar":
        return f"strlen({value})"
    if of.id == "blob":
        return f"octet_length({value})"
    if of.id in ("list", "array"):
        each = f"x{depth}"
        inner = _weight(each, of.children[0][1], depth + 1)
        within = f" + coalesce(list_sum(list_transform({value}, lambda {each}: {inner})), 0)" if inner else ""
        return f"({_NESTED} * len({value}){within})"
    return f"{_WRITTEN} * strlen(CAST({value} AS VARCHAR))"


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    """Gives each column a name of its own, as a row with two of one name would have one of them only."""
    found: dict[str, None] = {}
    for name in names:
        wanted, number = name, 1
        while wanted in found:
            wanted, number = f"{name}_{number}", number + 1
        found[wanted] = None
    return tuple(found)


# --- errors -----------------------------------------------------------------------------------------------------------


def _refuse(error: duckdb.Error) -> NoReturn:
    raise _problem(error) from None


def _problem(error: duckdb.Error) -> BooksError:
    """Gives DuckDB's error in two lines: what it said, and what it proposes; without paths of this machine."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return BooksError("sql_memory", limit=MEMORY)
    said = str(error)
    if isinstance(error, (duckdb.IOException, duckdb.PermissionException)) or "parquet" in said.lower():
        return BooksError("sql_unreadable", said=_shown(said.splitlines()[0] if said else ""))
    first = _shown(said.split("\n\nLINE ")[0].split("\n")[0])
    hint = _HINT.search(said)
    if hint and _shown(hint[0]) not in first:
        return BooksError("sql_failed_hint", said=first, hint=_shown(hint[0]))
    return BooksError("sql_failed", said=first)


def _shown(said: str) -> str:
    return from_server(_PATH.sub("…", said), MOST_OF_A_MESSAGE)


# --- for people who look round ----------------------------------------------------------------------------------------


def tables(language: str | None = None) -> Report:
    """Gives all tables and their columns as a report."""
    from lexoffice_nb.books.report import Column, Report

    columns = [Column(name, "text", text(f"sql.{name}", language)) for name in ("table", "column", "type", "says")]
    rows: list[dict[str, object]] = []
    shown = language or current_language()
    for name, table in TABLES.items():
        for number, (column, of) in enumerate(table.columns.items()):
            rows.append(
                {
                    "table": name if number == 0 else "",
                    "column": column,
                    "type": of.type,
                    "says": says(name, column, shown),
                }
            )
    return Report(text("sql.tables", language), columns, rows, currency=None)
