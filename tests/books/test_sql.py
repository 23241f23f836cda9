"""A person's SQL over the books reads the books, and nothing else (threat 34)."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexoffice_nb.books import sql
from lexoffice_nb.books.schema import TABLES
from lexoffice_nb.errors import BooksError
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Iterator

PLANTED = "planted-7f3a9c51"


class Parquet:
    """Books of one Parquet file for each table, in a folder; the vouchers have two rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True)
        with duckdb.connect() as connection:
            for name, table in TABLES.items():
                values = {
                    "id": "'v-' || n",
                    "total_amount": "n + 0.10",
                    "voucher_date": "DATE '2025-03-01' + n::INTEGER",
                }
                columns = ", ".join(
                    f"CAST({values.get(column, 'NULL')} AS {of.type}) AS {column}"
                    for column, of in table.columns.items()
                )
                where = str(self.folder / f"{name}.parquet").replace("'", "''")
                connection.execute(f"COPY (SELECT {columns} FROM range(1, 3) t(n)) TO '{where}'")

    def connect(self, connection: duckdb.DuckDBPyConnection) -> None:
        for name in TABLES:
            where = str(self.folder / f"{name}.parquet").replace("'", "''")
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS FROM read_parquet('{where}')")


class Place:
    """The books among other files: the planted text outside, in several shapes, and where everything would be seen."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.books = Parquet(base / "data" / "it's books")
        self.books.write()
        self.secret = base / "tokens.json"
        self.secret.write_text(f'{{"refresh_token": "{PLANTED}"}}\n')
        (base / "secret.csv").write_text(f"token\n{PLANTED}\n")
        (base / "secret.txt").write_text(PLANTED)
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT '{PLANTED}' AS token) TO '{base}/secret.parquet'")
            connection.execute(f"ATTACH '{base}/secret.duckdb' AS s; CREATE TABLE s.t AS SELECT '{PLANTED}' AS token")
        self.connection = sql.safe_connection(self.books)

    def files(self) -> dict[str, str]:
        """All files below, with a digest of each."""
        there = [path for path in self.base.rglob("*") if path.is_file()]
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in there}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("place"))
    yield place
    place.connection.close()


@pytest.fixture
def connection(place: Place) -> duckdb.DuckDBPyConnection:
    return place.connection


@pytest.fixture(autouse=True)
def _in_english(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    use_language(None)
    yield
    use_language(None)


def refused(connection: duckdb.DuckDBPyConnection, statement: str, **parameters: object) -> BooksError:
    with pytest.raises(BooksError) as caught:
        sql.ask(connection, statement, parameters)
    return caught.value


# --- threat 34 --------------------------------------------------------------------------------------------------------

# What somebody tries who wants to read B/… (the planted files), or the books' own files at F/…, or to write.
READING = [
    "FROM 'B/secret.csv'",
    "FROM 'B/secret.parquet'",
    "FROM 'B/tokens.json'",
    'FROM "B/secret.csv"',
    "SELECT * FROM 'F/../../secret.csv'",
    "SELECT * FROM 'F/vouchers.parquet'",
    "FROM 'file://B/secret.csv'",
    "FROM 'file:B/secret.csv'",
    "FROM 'http://127.0.0.1:9/secret.csv'",
    "FROM 'https://127.0.0.1:9/secret.parquet'",
    "FROM 's3://bucket/secret.parquet'",
    "FROM '/etc/passwd'",
    "FROM read_text('B/secret.txt')",
    "FROM read_text('F/../../secret.txt')",
    "FROM READ_TEXT('B/*')",
    "FROM system.main.read_text('B/secret.txt')",
    "FROM \"read_text\"('B/secret.txt')",
    "FROM read_blob('B/tokens.json')",
    "FROM read_csv('B/secret.csv')",
    "FROM read_csv_auto(['B/secret.csv'])",
    "FROM read_json('B/tokens.json')",
    "FROM read_json_auto('B/tokens.json')",
    "FROM read_ndjson_objects('B/tokens.json')",
    "FROM read_parquet('B/secret.parquet')",
    "FROM parquet_scan('F/../../secret.parquet')",
    "FROM parquet_metadata('B/secret.parquet')",
    "FROM parquet_kv_metadata('F/vouchers.parquet')",
    "FROM sniff_csv('B/secret.csv')",
    "FROM read_duckdb('B/secret.duckdb')",
    "FROM glob('B/*')",
    "FROM glob('F/*')",
    "FROM query('FROM read_text(''B/secret.txt'')')",
    "FROM query_table('B/secret.csv')",
    "FROM query_table(['vouchers'])",
    "FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT * FROM vouchers, read_text('B/secret.txt')",
    "SELECT (FROM read_text('B/secret.txt') SELECT content)",
    "SELECT * FROM vouchers WHERE id IN (SELECT content FROM read_text('B/secret.txt'))",
    "SELECT * FROM vouchers ORDER BY (SELECT content FROM read_text('B/secret.txt'))",
    "SELECT * FROM vouchers LIMIT (SELECT length(content) FROM read_text('B/secret.txt'))",
    "SELECT * FROM vouchers v JOIN read_csv('B/secret.csv') c ON v.id = c.token",
    "SELECT * FROM vouchers v, LATERAL (FROM read_text('B/secret.txt'))",
    "WITH t AS (FROM read_text('B/secret.txt')) FROM t",
    "WITH t AS MATERIALIZED (FROM 'B/secret.csv') SELECT 1 UNION ALL SELECT 2 FROM t",
    "WITH RECURSIVE t AS (SELECT 'a' AS x UNION ALL SELECT content FROM read_text('B/secret.txt'), t) FROM t LIMIT 2",
    "FROM (WITH \"B/secret.csv\" AS (SELECT 1) SELECT 1), 'B/secret.csv'",
    "DESCRIBE 'B/secret.csv'",
    "DESCRIBE FROM read_csv('B/secret.csv')",
    "SUMMARIZE 'B/secret.csv'",
    "SUMMARIZE FROM read_text('B/secret.txt')",
    "FROM (SUMMARIZE FROM read_text('B/secret.txt'))",
    "EXPLAIN ANALYZE FROM read_text('B/secret.txt')",
    "EXPLAIN FROM vouchers",
    "VALUES ((SELECT content FROM read_text('B/secret.txt')))",
    "FROM vouchers PIVOT (sum(total_amount) FOR id IN (SELECT content FROM read_text('B/secret.txt')))",
    "FROM (PIVOT 'B/secret.csv' ON token IN ('a') USING count(*))",
    "UNPIVOT 'B/secret.csv' ON token",
    "ATTACH 'B/secret.duckdb' AS s",
    "FROM s.t",
    "COPY vouchers FROM 'B/secret.parquet'",
    "SELECT getenv('HOME')",
    "SELECT current_setting('temp_directory')",
    "SELECT * FROM duckdb_settings()",
    "FROM duckdb_settings",
    "FROM (WITH duckdb_views AS (SELECT 1) SELECT 1), duckdb_views",
    "WITH duckdb_views AS (FROM duckdb_views) FROM duckdb_views",
    "FROM duckdb_secrets()",
    "FROM duckdb_secrets(redact := false)",
    "FROM which_secret('s3://x', 's3')",
    "FROM duckdb_logs",
    "FROM duckdb_temporary_files()",
    "SELECT sql FROM duckdb_views()",
    "SELECT sql FROM sqlite_master",
    "SELECT view_definition FROM information_schema.views",
    "SELECT * FROM pg_catalog.pg_views",
    "SHOW DATABASES",
    "SHOW VARIABLES",
    "FROM pragma_database_list",
    "PRAGMA database_list",
    "CALL duckdb_settings()",
    "FROM notebook_variable",
    "FROM arrow_scan(1, 2, 3)",
    "FROM pandas_scan(1)",
    "FROM seq_scan(1)",
    "SELECT getvariable('x')",
    "SELECT current_query()",
    "EXECUTE p",
    "PREPARE p AS FROM read_text('B/secret.txt')",
]
WRITING = [
    "COPY vouchers TO 'B/out.csv'",
    "COPY (SELECT 1) TO 'F/out.parquet'",
    "COPY (SELECT 1) TO 'F/vouchers.parquet' (USE_TMP_FILE false)",
    "COPY vouchers TO '/dev/stdout'",
    "EXPORT DATABASE 'B/out'",
    "IMPORT DATABASE 'B/out'",
    "ATTACH 'B/new.duckdb'",
    "ATTACH 'F/new.duckdb'",
    "CREATE TABLE t AS SELECT 1",
    "CREATE TEMP TABLE t AS SELECT 1",
    "CREATE OR REPLACE VIEW vouchers AS SELECT 1",
    "CREATE MACRO m() AS 1",
    "CREATE TYPE t AS ENUM ('a')",
    "CREATE SECRET s (TYPE s3)",
    "CREATE PERSISTENT SECRET s (TYPE s3)",
    "CREATE SEQUENCE s",
    "DROP VIEW vouchers",
    "ALTER VIEW vouchers RENAME TO v",
    "INSERT INTO vouchers VALUES (1)",
    "UPDATE vouchers SET id = 1",
    "DELETE FROM vouchers",
    "TRUNCATE vouchers",
    "WITH t AS (DELETE FROM vouchers RETURNING *) FROM t",
    "SET lock_configuration = false",
    "SET enable_external_access = true",
    "SET VARIABLE x = 1",
    "RESET memory_limit",
    "PRAGMA enable_profiling",
    "PRAGMA profiling_output = 'B/out.json'",
    "USE memory",
    "INSTALL httpfs",
    "INSTALL spatial FROM community",
    "FORCE INSTALL 'B/x.duckdb_extension'",
    "LOAD httpfs",
    "LOAD 'B/x.duckdb_extension'",
    "UPDATE EXTENSIONS",
    "CALL enable_logging(storage := 'file')",
    "FROM enable_logging()",
    "FROM force_checkpoint()",
    "SELECT write_log('x')",
    "SELECT nextval('s')",
    "SELECT setseed(0.5)",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN",
    "COMMIT",
    "DETACH memory",
    "SELECT 1; COPY (SELECT 1) TO 'B/out.csv'",
    "SELECT 1 /* ; */; DROP VIEW vouchers --",
]


@pytest.mark.parametrize("statement", READING)
def test_nothing_outside_the_books_can_be_read(place: Place, statement: str) -> None:
    notebook_variable = [PLANTED]  # noqa: F841 - DuckDB would look for it
    tried = statement.replace("B/", f"{place.base}/").replace("F/", str(place.books.folder).replace("'", "''") + "/")
    before = place.files()
    error = refused(place.connection, tried)
    for said in (str(error), error.what("de"), error.next("de")):
        assert PLANTED not in said
    assert place.files() == before
    # And as it would be refused by the engine alone, where it is not the books' own file.
    assert error.code not in ("sql_unreadable", "sql_memory")


@pytest.mark.parametrize("statement", WRITING)
def test_nothing_is_written_and_nothing_is_changed(place: Place, statement: str) -> None:
    tried = statement.replace("B/", f"{place.base}/").replace("F/", str(place.books.folder).replace("'", "''") + "/")
    before = place.files()
    refused(place.connection, tried)
    assert place.files() == before
    assert len(sql.ask(place.connection, "FROM vouchers").rows) == 2


# The connection itself is handed out, for other magics: there no guard looks at the statement.
@pytest.mark.parametrize("statement", [each for each in READING if "B/" in each or "../" in each or "http" in each])
def test_the_connection_alone_reads_nothing_outside_the_books(place: Place, statement: str) -> None:
    tried = statement.replace("B/", f"{place.base}/").replace("F/", str(place.books.folder).replace("'", "''") + "/")
    cursor = place.connection.cursor()
    try:
        found = str(cursor.execute(tried).fetchall())
    except duckdb.Error as error:
        found = str(error)
    finally:
        cursor.close()
    assert PLANTED not in found


@pytest.mark.parametrize("statement", [each for each in WRITING if "B/" in each])
def test_the_connection_alone_writes_nothing_outside_the_books(place: Place, statement: str) -> None:
    tried = statement.replace("B/", f"{place.base}/")
    before = place.files()
    cursor = place.connection.cursor()
    with pytest.raises(duckdb.Error):
        cursor.execute(tried).fetchall()
    cursor.close()
    assert place.files() == before


@pytest.mark.parametrize(
    "statement",
    [
        "INSTALL httpfs",
        "LOAD httpfs",
        "INSTALL spatial FROM community",
        "SET enable_external_access = true",
        "SET lock_configuration = false",
        "SET allowed_directories = ['/']",
        "SET GLOBAL autoload_known_extensions = true",
        "SET temp_directory = '/tmp'",
        "RESET allowed_directories",
        "CREATE PERSISTENT SECRET s (TYPE http)",
        "FROM 'https://127.0.0.1:9/x.parquet'",
    ],
)
def test_the_connection_installs_no_extension_and_cannot_be_told_otherwise(
    connection: duckdb.DuckDBPyConnection, statement: str
) -> None:
    with connection.cursor() as cursor, pytest.raises(duckdb.Error):
        cursor.execute(statement)


def test_the_connection_sees_no_variable_of_python(connection: duckdb.DuckDBPyConnection) -> None:
    pandas = pytest.importorskip("pandas")
    secret_frame = pandas.DataFrame({"token": [PLANTED]})
    assert len(secret_frame) == 1
    with connection.cursor() as cursor, pytest.raises(duckdb.CatalogException):
        cursor.execute("FROM secret_frame")
    with pytest.raises(duckdb.CatalogException):
        connection.execute("FROM secret_frame")


@pytest.mark.skipif(os.name != "posix", reason="links need a privilege there")
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("name", ["more.parquet", "deeper/more.txt", "folder"])
def test_a_link_that_was_planted_among_the_books_is_not_followed(tmp_path: Path, name: str, hard: bool) -> None:
    books = Parquet(tmp_path / "books")
    books.write()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text(PLANTED)
    link = books.folder / name
    link.parent.mkdir(exist_ok=True)
    if name == "folder":
        link.symlink_to(outside)
    elif hard:
        link.hardlink_to(outside / "secret.txt")
    else:
        link.symlink_to(outside / "secret.txt")
    with pytest.raises(BooksError) as caught:
        sql.safe_connection(books)
    assert caught.value.code == "sql_link"
    assert PLANTED not in str(caught.value)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_what_does_not_fit_into_memory_goes_to_a_private_folder_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sql, "MEMORY", "60MB")
    monkeypatch.chdir(tmp_path)
    books = Parquet(tmp_path / "books")
    books.write()
    connection = sql.safe_connection(books)
    seen: dict[str, int] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.005):
            for folder in tmp_path.glob("lexoffice_nb-sql-*"):
                if any((folder / "duckdb").glob("*")):
                    seen[str(folder)] = stat.S_IMODE(folder.stat().st_mode)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        ranked = "row_number() OVER (ORDER BY md5(range::VARCHAR)) AS n, md5(range::VARCHAR) AS m FROM range(1500000)"
        sql.ask(connection, f"SELECT max(m), count(*), sum(n) FROM (SELECT {ranked}) WHERE m > '8'")
    finally:
        over.set()
        watcher.join()
    assert set(seen.values()) == {0o700}
    assert not [path for path in tmp_path.iterdir() if path.name not in ("books", *(Path(s).name for s in seen))]
    connection.close()
    del connection
    gc.collect()
    assert [path.name for path in tmp_path.iterdir()] == ["books"]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere one cannot ask whether a process lives")
def test_what_a_killed_process_has_left_is_removed_and_what_a_living_one_uses_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql.tempfile, "tempdir", str(tmp_path))
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    dead = tmp_path / f"lexoffice_nb-sql-{gone.stdout.strip()}-x"
    alive = tmp_path / f"lexoffice_nb-sql-{os.getppid()}-x"
    others = tmp_path / "lexoffice_nb-sql-notes-x"
    for folder in (dead, alive, others):
        folder.mkdir()
    books = Parquet(tmp_path / "books")
    books.write()
    sql.safe_connection(books).close()
    assert not dead.exists()
    assert alive.exists()
    assert others.exists()


WORDS = [
    *(
        "SELECT",
        "FROM",
        "WHERE",
        "WITH",
        "AS",
        "(",
        ")",
        ",",
        ";",
        "*",
        "vouchers",
        "id",
        "'SECRET'",
        '"SECRET"',
        "UNION",
    ),
    *("COPY", "TO", "read_text", "('SECRET')", "query", "ATTACH", "DESCRIBE", "SUMMARIZE", "t", "$$SECRET$$", "E'\\''"),
    *("PIVOT", "ON", "--", "/*", "*/", "\n", "$x", "1", "LATERAL", "VALUES", "read_csv(", "glob(", "\0", "é", "SET"),
]


@given(words=st.lists(st.sampled_from(WORDS), max_size=12) | st.text(max_size=40).map(lambda each: [each]))
@settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_any_statement_gives_rows_of_the_books_or_one_error_of_ours(place: Place, words: list[str]) -> None:
    statement = " ".join(words).replace("SECRET", f"{place.base}/secret.txt")
    try:
        said = [str(sql.ask(place.connection, statement, {"x": 1}).rows)]
    except BooksError as error:
        said = error._render_traceback_()
    assert len(said) in (1, 2)
    assert not any("\n" in line or PLANTED in line for line in said)


@pytest.mark.parametrize("depth", [50, 500, 5000])
def test_a_statement_nested_very_deeply_is_answered_or_refused(
    connection: duckdb.DuckDBPyConnection, depth: int
) -> None:
    for statement in (f"SELECT {'(' * depth}1{')' * depth}", "SELECT * FROM (" * depth + "SELECT 1" + ")" * depth):
        with contextlib.suppress(BooksError):
            assert sql.ask(connection, statement).rows == [(1,)]


# --- what may be asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT sum(total_amount) FROM vouchers",
        "FROM vouchers",
        "TABLE vouchers",
        "FROM main.vouchers",
        "SELECT * FROM memory.main.vouchers;",
        "WITH t AS (SELECT 1 AS x), u AS (FROM t) SELECT x FROM u -- done",
        "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 5) SELECT sum(x) FROM t",
        "VALUES (1), (2)",
        "DESCRIBE vouchers",
        "SUMMARIZE vouchers",
        "SHOW TABLES",
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'vouchers'",
        "SELECT id, row_number() OVER (PARTITION BY currency ORDER BY voucher_date) FROM vouchers QUALIFY 1 = 1",
        "SELECT date_trunc('month', voucher_date) AS m, sum(total_amount) FROM vouchers GROUP BY ALL ORDER BY m",
        "FROM (PIVOT vouchers ON id IN ('v-1', 'v-2') USING sum(total_amount))",
        "SELECT v.id FROM vouchers v LEFT JOIN documents d USING (id) ANTI JOIN contacts c ON c.id = v.contact_id",
        "SELECT unnest([1, 2]), list_transform([1], lambda x: x + 1) FROM range(3)",
        "SELECT CASE WHEN total_amount > 1 THEN 'a' ELSE lower('B') END, coalesce(contact_name, '') FROM vouchers",
        "SELECT regexp_replace(id, 'v', 'w'), strftime(voucher_date, '%Y'), year(voucher_date), random() FROM vouchers",
        "SELECT * EXCLUDE (id) REPLACE (total_amount + 1 AS total_amount) FROM vouchers",
        "SELECT '; DROP VIEW vouchers; read_text(''/etc/passwd'')' AS words",
    ],
)
def test_a_select_of_any_shape_is_answered(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    assert sql.ask(connection, statement).rows


def test_money_comes_as_decimal_and_days_as_dates(connection: duckdb.DuckDBPyConnection) -> None:
    answer = sql.ask(connection, "SELECT sum(total_amount) AS total, min(voucher_date) AS first FROM vouchers")
    assert answer.names == ("total", "first")
    assert answer.types == ("DECIMAL(38,2)", "DATE")
    assert answer.rows == [(Decimal("3.20"), date(2025, 3, 2))]
    assert isinstance(answer.rows[0][0], Decimal)


def test_the_answer_is_a_report_that_says_where_it_is_not_exact(connection: duckdb.DuckDBPyConnection) -> None:
    exact = sql.run(connection, "SELECT sum(total_amount) AS total FROM vouchers")
    assert exact[0] == {"total": Decimal("3.20")}
    assert exact.notes == ()
    rough = sql.run(connection, "SELECT sum(total_amount) / 3 AS third FROM vouchers")
    assert "third" in rough.notes[0]
    assert "not exact" in rough.notes[0]
    assert "third" in rough._repr_html_()


def test_two_columns_of_one_name_are_both_kept(connection: duckdb.DuckDBPyConnection) -> None:
    assert sql.run(connection, "SELECT 1 AS a, 2 AS a, 3 AS a")[0] == {"a": 1, "a_1": 2, "a_2": 3}


def test_of_very_many_rows_the_first_are_kept_and_it_says_so(connection: duckdb.DuckDBPyConnection) -> None:
    report = sql.run(connection, "SELECT range AS n FROM range(1000000) ORDER BY n")
    assert len(report) == sql.MOST_ROWS
    assert report[-1] == {"n": sql.MOST_ROWS - 1}
    assert "100000" in report.notes[0]
    whole = sql.ask(connection, f"SELECT range AS n FROM range({sql.MOST_ROWS})")
    assert (len(whole.rows), whole.complete) == (sql.MOST_ROWS, True)


def test_of_very_long_text_only_so_much_is_kept(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "MOST_CHARACTERS", 1_000_000)
    answer = sql.ask(connection, "SELECT repeat('x', 100) AS x FROM range(50000)")
    assert not answer.complete
    assert sum(len(row[0]) for row in answer.rows) <= 1_000_000


def test_a_list_counts_with_what_is_in_it(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "MOST_CHARACTERS", 1_000_000)
    for wide in ("range(1000)", "[range(500), range(500)]", "{'a': range(1000)}", "map {'a': range(1000)}"):
        answer = sql.ask(connection, f"SELECT n, {wide} AS wide FROM range(1000) t(n) ORDER BY n DESC")
        assert 5 < len(answer.rows) < 60, wide
        assert not answer.complete
        assert [row[0] for row in answer.rows] == list(range(999, 999 - len(answer.rows), -1))
    assert sql.ask(connection, "SELECT [1, NULL], {'a': 'x'}, NULL::VARCHAR[]").rows == [([1, None], {"a": "x"}, None)]


def test_of_a_row_that_is_too_long_nothing_is_kept_and_it_says_so(
    connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "MOST_CHARACTERS", 1_000_000)
    for wide in ("range(100000)", "repeat('x', 2000000)", "repeat('x', 2000000)::BLOB"):
        error = refused(connection, f"SELECT {wide} AS wide FROM range(3)")
        assert (error.code, error.values["limit"]) == ("sql_memory", "1 MB")


@pytest.mark.parametrize("end", ["", ";", " ; -- done; 'é", "; ;", " /* ; */ ; /* x */", " -- ;"])
def test_a_statement_may_end_as_it_likes(connection: duckdb.DuckDBPyConnection, end: str) -> None:
    assert sql.ask(connection, "SELECT 'é;' AS a, $$;$$ AS A" + end).rows == [("é;", ";")]


_WIDE = """
import resource, sys
import duckdb
from lexoffice_nb.books import sql
sql.check = lambda cursor, statement: cursor.extract_statements(statement)[0]  # there are no tables, and no walls
connection = duckdb.connect(config={"memory_limit": sql.MEMORY, "threads": 2})
rows = sql.ask(connection, sys.argv[1]).rows
print(len(rows), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> (20 if sys.platform == "darwin" else 10))
"""


@pytest.mark.skipif(os.name != "posix", reason="elsewhere one cannot ask how much memory it was")
@pytest.mark.parametrize("wide", ["repeat('x', 2000000) FROM range(1000)", "range(300000) FROM range(300)"])
def test_wide_rows_do_not_take_the_memory_of_the_machine(wide: str) -> None:
    asked = [sys.executable, "-c", _WIDE, f"SELECT {wide}"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=100, check=True)
    rows, megabytes = map(int, done.stdout.split())
    assert 0 < rows < 60
    assert megabytes < 1000


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        *("it's", "'; DROP VIEW vouchers; --", '"', "$x", "{x}", "\\", "", "é\n", 1, -1, True, None, Decimal("1.10")),
        *(date(2025, 3, 2), 1.5, ["a'b", "c"], (1, 2)),
    ],
)
def test_a_parameter_is_a_value_and_never_sql(connection: duckdb.DuckDBPyConnection, value: object) -> None:
    (found,) = sql.ask(connection, "SELECT $x AS x", {"x": value}).rows[0]
    assert found == (list(value) if isinstance(value, tuple) else value)


def test_parameters_choose_rows(connection: duckdb.DuckDBPyConnection) -> None:
    ask = "SELECT id FROM vouchers WHERE voucher_date >= $since AND id = ANY($ids)"
    assert sql.ask(connection, ask, {"since": date(2025, 3, 3), "ids": ["v-1", "v-2"], "more": object()}).rows == [
        ("v-2",)
    ]


def test_a_parameter_in_a_text_is_text(connection: duckdb.DuckDBPyConnection) -> None:
    assert sql.ask(connection, "SELECT '$x {x}' AS x").rows == [("$x {x}",)]


@pytest.mark.parametrize(
    ("statement", "parameters", "code"),
    [
        ("SELECT $missing", {}, "sql_parameter_missing"),
        ("SELECT $x", {"x": object()}, "sql_parameter_type"),
        ("SELECT $x", {"x": {"a": 1}}, "sql_parameter_type"),
        ("SELECT $x", {"x": [[1]]}, "sql_parameter_type"),
        ("SELECT $x", {"x": Decimal("NaN")}, "sql_parameter_type"),
        ("SELECT ?", {}, "sql_parameter_number"),
        ("SELECT $1", {}, "sql_parameter_number"),
        ("FROM $x", {"x": "vouchers"}, "sql_failed"),
    ],
)
def test_what_is_no_parameter_is_refused(
    connection: duckdb.DuckDBPyConnection, statement: str, parameters: dict[str, object], code: str
) -> None:
    assert refused(connection, statement, **parameters).code == code


# --- errors -----------------------------------------------------------------------------------------------------------


def test_a_wrong_column_gets_duckdbs_proposals(connection: duckdb.DuckDBPyConnection) -> None:
    error = refused(connection, "SELECT totl_amount FROM vouchers")
    what, now = error._render_traceback_()
    assert "totl_amount" in what
    assert "total_amount" in now


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("", "sql_empty"),
        ("  -- nothing", "sql_empty"),
        ("\ud800", "sql_empty"),
        ("SELECT 1; SELECT 2", "sql_several"),
        ("PIVOT vouchers ON id USING count(*)", "sql_pivot"),
        ("DROP VIEW vouchers", "sql_only_select"),
        ("SELECT * FRM vouchers x", "sql_failed"),
        ("SELECT 'x'::INTEGER", "sql_failed"),
        ("FROM vouchrs", "sql_table"),
        ("SELECT now()", "sql_time_zone"),
        ('WITH "a.csv" AS (SELECT 1) FROM "a.csv"', "sql_name"),
    ],
)
def test_each_mistake_has_its_own_words(connection: duckdb.DuckDBPyConnection, statement: str, code: str) -> None:
    assert refused(connection, statement).code == code


def test_an_error_has_no_path_of_this_machine_and_no_link(tmp_path: Path) -> None:
    books = Parquet(tmp_path / "books")
    books.write()
    connection = sql.safe_connection(books)
    (books.folder / "vouchers.parquet").write_bytes(b"PAR1 broken")
    error = refused(connection, "FROM vouchers")
    assert error.code == "sql_unreadable"
    (books.folder / "vouchers.parquet").unlink()
    again = refused(connection, "FROM vouchers")
    assert again.code == "sql_unreadable"
    for said in (str(error), str(again), str(refused(connection, "SELECT 'https://evil.example/x/y'::INTEGER"))):
        assert str(tmp_path) not in said
        assert "://" not in said
    connection.close()


def test_a_query_that_needs_too_much_memory_says_so(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    error = refused(connection, "SELECT length(string_agg(repeat('x', 1000000), '')) FROM range(4000)")
    assert error.code in ("sql_memory", "sql_failed")
    assert sql.ask(connection, "SELECT 1").rows == [(1,)]


# --- interrupts -------------------------------------------------------------------------------------------------------

LONG = [
    "SELECT count(*) FROM range(10000000000) a, range(1000) b WHERE a.range % 7 = b.range % 3",
    "SELECT range FROM range(10000000000) WHERE hash(range) = 1",
    "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 100000000) SELECT sum(x) FROM t",
    "SELECT range, sin(range) FROM range(1000000000) ORDER BY 2 LIMIT 1",
]


@pytest.mark.skipif(os.name != "posix", reason="a test cannot press Ctrl-C there")
@pytest.mark.parametrize("statement", LONG)
def test_ctrl_c_ends_a_long_query_within_a_second(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    pressed: list[float] = []

    def press() -> None:
        pressed.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.4, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        sql.ask(connection, statement)
    assert time.monotonic() - pressed[0] < 1
    timer.join()
    assert not [thread for thread in threading.enumerate() if thread.name == "lexoffice-nb sql"], "it still runs"
    assert sql.ask(connection, "SELECT 1").rows == [(1,)]


@pytest.mark.parametrize(("language", "shown"), [("en", "1,119.70"), ("de", "1.119,70")])
def test_an_amount_keeps_its_cents_and_a_quantity_has_no_more_places_than_it_needs(
    connection: duckdb.DuckDBPyConnection, language: str, shown: str
) -> None:
    use_language(language)
    asked = "SELECT CAST(1119.7 AS DECIMAL(18, 2)) AS amount, CAST(2 AS DECIMAL(18, 4)) AS quantity"
    assert repr(sql.run(connection, asked)).splitlines()[-1].split() == [shown, "2"]


def test_tables_lists_every_column_in_the_persons_language() -> None:
    report = sql.tables()
    assert len(report) == sum(len(table.columns) for table in TABLES.values())
    assert report.title == "Tables of the books"
    assert sql.tables("de").title == "Tabellen der Bücher"
