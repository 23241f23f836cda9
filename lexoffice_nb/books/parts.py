"""The part files of a folder: which of them are the books, how they are written, merged, and read as views.

A part is some records of one source: a file with their bodies (`raw_documents-000012.parquet`) and one for each table
that is made of them (`line_items-000012.parquet`). Each record has a number, n, that grows over all sources; of those
with one id the highest counts. The manifest names the parts, and is replaced as one step: a file that it does not name
is none of the books, so a writer can be killed at any instant, and a reader never sees half of a change. It also has
the size and the CRC-32 of each file: one that is not there, or is not like that, is damaged.
"""

# ruff: noqa: S608 - this module writes SQL, of names in `schema` and of paths as literals
from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import stat
import time
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from lexoffice_nb.books import flatten, readers, schema
from lexoffice_nb.books.journal import read as read_journal
from lexoffice_nb.oauth import private_file

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO

    import duckdb

SOURCES = ("rows", "documents", "payments", "contacts")
REMOVED = "removed"  # ids that are no more; kept as a source without tables
MANIFEST = "manifest.json"
INSIDE = "lexoffice_parts"  # the schema, in a connection, of what the views are made of
_MANIFEST_LIMIT = 1 << 24
_MERGED_AT = 32  # parts of one size become one, so that there are never many
_RAW_ROWS = 2048  # bodies in a group; a writer and a reader hold some groups in memory, and each may be 10 MB
_READERS_TIME = 60.0  # seconds in which a reader that has just read the manifest opens what it names
_CHUNK = 1 << 20  # octets
_TABLE = re.compile("[a-z_]+")
_FILE = re.compile(r"[a-z_]+-[0-9]{6,}\.(parquet|jsonl)")


@dataclass(frozen=True)
class Part:
    """A part.

    Attributes:
        number: its own, in the names of its files.
        source: what it has records of.
        records: how many.
        files: the size in octets of each of its files, by table; `raw_…` is the one with the bodies.
        tier: how often it was merged.
        sums: the CRC-32 of each of its files, by table; the first version had none.
    """

    number: int
    source: str
    records: int
    files: Mapping[str, int]
    tier: int = 0
    sums: Mapping[str, int] = field(default_factory=dict)

    def name(self, table: str) -> str:
        """Gives the name of one of its files."""
        return f"{table}-{self.number:06}.parquet"

    @property
    def raw(self) -> str:
        """The name of the file with the bodies."""
        return self.name(f"raw_{self.source}")

    def names(self) -> list[str]:
        """Gives the names of all of its files."""
        return [self.name(table) for table in self.files]


@dataclass(frozen=True)
class Manifest:
    """What the books consist of.

    Attributes:
        version: of the schema that the parts were written with.
        following: the number of the next record that becomes part of a part; a journal may be ahead.
        part: the number of the next part.
        journal: the number of the journal; 0 where nothing was ever stored.
        parts: the parts.
        left: names of files that are no more part of it, and when they ceased to be, in seconds since 1970.
        damaged: names of files that were set aside, and how many records they had.
    """

    version: int = schema.VERSION
    following: int = 1
    part: int = 1
    journal: int = 0
    parts: tuple[Part, ...] = ()
    left: Mapping[str, float] = field(default_factory=dict)
    damaged: Mapping[str, int] = field(default_factory=dict)

    @property
    def journal_name(self) -> str:
        """The name of the journal."""
        return f"journal-{self.journal:06}.jsonl"

    def of(self, source: str) -> list[Part]:
        """Gives the parts of a source."""
        return [part for part in self.parts if part.source == source]


def read_manifest(folder: Path) -> Manifest:
    """Reads the manifest; there is an empty one where nothing was ever stored.

    Raises:
        OSError: if it cannot be read.
        private_file.NotPrivateError: as `private_file.read`.
        ValueError: if it is damaged, or is not there while files are that it should name.
    """
    try:
        content = private_file.read(folder / MANIFEST, _MANIFEST_LIMIT)
    except FileNotFoundError:
        return _without_manifest(folder)
    try:
        value = json.loads(content)
        if value["version"] > schema.VERSION:
            return Manifest(version=value["version"])
        manifest = Manifest(**{**value, "parts": tuple(Part(**part) for part in value["parts"])})
        if _is_sound(manifest):
            return manifest
    except (TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ValueError("no manifest") from error
    raise ValueError("no manifest")


def _without_manifest(folder: Path) -> Manifest:
    """The first version wrote none before it had a part: all was in its first journal."""
    first = Manifest(version=1, journal=1)
    names = {path.name for path in folder.glob("*-*") if _FILE.fullmatch(path.name)} if folder.exists() else set()
    if not names:
        return Manifest()
    found = read_journal(folder / first.journal_name, may_lack_its_first_line=True)
    if names != {first.journal_name} or (found.is_begun and (found.entries or found.lost)):
        raise ValueError("no manifest")
    return Manifest() if found.is_begun else first


def _is_sound(manifest: Manifest) -> bool:
    """Tells whether all in it is of its type, and names lead nowhere else."""
    return (
        _are_counts(manifest.version, manifest.following, manifest.part, manifest.journal, *manifest.damaged.values())
        and all(type(since) in (int, float) for since in manifest.left.values())
        and all(_FILE.fullmatch(name.removeprefix("damaged-")) for name in (*manifest.left, *manifest.damaged))
        and all(_is_sound_part(part) and part.number < manifest.part for part in manifest.parts)
    )


def _is_sound_part(part: Part) -> bool:
    return (
        part.source in (*SOURCES, REMOVED)
        and _are_counts(part.number, part.records, part.tier, *part.files.values(), *part.sums.values())
        and f"raw_{part.source}" in part.files
        and all(_TABLE.fullmatch(table) for table in part.files)
    )


def _are_counts(*values: Any) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest as one step, on the disk when it returns.

    Raises:
        OSError: if it cannot be written; the old one is as it was.
        private_file.NotPrivateError: as `private_file.write`.
    """
    value = {**vars(manifest), "parts": [vars(part) for part in manifest.parts]}
    private_file.write(folder / MANIFEST, json.dumps(value).encode("ascii"))


def is_whole(folder: Path, part: Part, tables: Iterable[str] | None = None, *, deep: bool = False) -> bool:
    """Tells whether files of a part are there, with the size that they had, and begin and end as they should.

    Args:
        folder: of the parts.
        part: the part.
        tables: which of its files; all, where none are named.
        deep: reads them, and compares their checksums, too.

    Raises:
        private_file.NotPrivateError: `kind`, `owner` or `mode`, if one is no file of this user alone.
    """
    for table in part.files if tables is None else tables:
        path = folder / part.name(table)
        try:
            _refuse_others(path)
            with path.open("rb") as file:
                head = file.read(4)
                size = file.seek(-4, os.SEEK_END) + 4
                if size != part.files[table] or head != b"PAR1" or file.read(4) != b"PAR1":
                    return False
                if deep and part.sums and _sum(file) != part.sums.get(table):
                    return False
        except OSError:
            return False
    return True


def _refuse_others(path: Path) -> None:
    """A pipe would be waited for, and a link followed. What is changed after this only its owner could have changed."""
    state = path.lstat()
    if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
        raise private_file.NotPrivateError("kind")
    private_file.check(state)


def _sum(file: BinaryIO) -> int:
    file.seek(0)
    found = 0
    while some := file.read(_CHUNK):
        found = zlib.crc32(some, found)
    return found


def is_readable(connection: duckdb.DuckDBPyConnection, folder: Path, part: Part, tables: Iterable[str]) -> bool:
    """Tells whether all that is in files of a part can be read, by reading it."""
    import duckdb

    try:
        for table in tables:
            connection.execute(f"SELECT max(hash(COLUMNS(*))) FROM {files_of(folder, [part], table)}").fetchall()
    except duckdb.Error:
        return False
    return True


# --- writing ---


def load(connection: duckdb.DuckDBPyConnection, records: Sequence[tuple[int, str, str, str, str | None]]) -> None:
    """Makes the table `incoming` of records: number, id, time of the last change, body, and body made plain."""
    columns = list(zip(*records, strict=True)) or [()] * 5
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE incoming AS SELECT unnest($1::BIGINT[]) AS n, unnest($2::VARCHAR[]) AS id, "
        "unnest($3::VARCHAR[]) AS updated_at, unnest($4::VARCHAR[]) AS raw, unnest($5::VARCHAR[]) AS plain",
        [list(column) for column in columns],
    )


def write(connection: duckdb.DuckDBPyConnection, folder: Path, source: str, number: int) -> Part:
    """Writes the records in the table `incoming` as a part, on the disk when it returns. No manifest names it yet.

    Raises:
        OSError: if it cannot be written.
        duckdb.Error: the same.
    """
    if source != REMOVED:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {flatten.parsed(source, 'incoming')}")
    part = _write(connection, folder, Part(number, source, 0, {}), "incoming", "parsed")
    connection.execute("DROP TABLE IF EXISTS parsed")
    connection.execute("DROP TABLE IF EXISTS incoming")
    return part


def rebuild(connection: duckdb.DuckDBPyConnection, folder: Path, part: Part, number: int) -> Part:
    """Writes a part anew from the bodies of another, in little memory however large it is.

    Raises:
        OSError: if it cannot be written.
        duckdb.Error: the same, or if the bodies cannot be read.
    """
    bodies = files_of(folder, [part], f"raw_{part.source}")
    # Parsed once for all tables: it takes far longer than all else. What does not fit the memory spills to the disk.
    if part.source != REMOVED:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE parsed AS {flatten.parsed(part.source, bodies)}")
    try:
        return _write(connection, folder, Part(number, part.source, 0, {}, part.tier), bodies, "parsed")
    finally:
        connection.execute("DROP TABLE IF EXISTS parsed")


def _write(connection: duckdb.DuckDBPyConnection, folder: Path, part: Part, bodies: str, parsed: str) -> Part:
    source = part.source
    files = {f"raw_{source}": f"SELECT n, id, updated_at, raw, plain FROM {bodies}"}
    files |= {table: flatten.rows(table, parsed) for table in flatten.tables(source)}
    written: dict[str, _File] = {}
    for table, query in files.items():
        file = _write_file(connection, folder / part.name(table), query)
        if file.rows or len(written) < 2:  # those with a row for each record are always there
            written[table] = file
        else:
            (folder / part.name(table)).unlink()
    private_file.keep_the_names(folder)
    return _with_files(part, written)


def _with_files(part: Part, files: Mapping[str, _File]) -> Part:
    """The part with its files; the one with the bodies has a row for each record."""
    sizes, sums = ({table: each[n] for table, each in files.items()} for n in (0, 1))
    return dataclasses.replace(part, records=files[f"raw_{part.source}"].rows, files=sizes, sums=sums)


def merge(connection: duckdb.DuckDBPyConnection, folder: Path, parts: Sequence[Part], number: int, dead: str) -> Part:
    """Writes parts of one source as one, without the records that count no more.

    Args:
        connection: where.
        folder: theirs.
        parts: the parts.
        number: of the new one.
        dead: a table with the numbers, n, of those records.

    Raises:
        OSError: if it cannot be written.
        duckdb.Error: the same, or if a part cannot be read.
    """
    source = parts[0].source
    merged = Part(number, source, 0, {}, max(part.tier for part in parts) + 1)
    written: dict[str, _File] = {}
    for table in dict.fromkeys(table for part in parts for table in part.files):
        query = f"SELECT p.* FROM {files_of(folder, parts, table)} p ANTI JOIN {dead} USING (n)"
        written[table] = _write_file(connection, folder / merged.name(table), query)
    private_file.keep_the_names(folder)
    return _with_files(merged, written)


class _File(NamedTuple):
    size: int  # octets
    sum: int
    rows: int


def _write_file(connection: duckdb.DuckDBPyConnection, path: Path, query: str) -> _File:
    path.unlink(missing_ok=True)  # a writer that was killed has left it
    private_file.prepare_lock(path)  # an empty file that is private from the beginning
    group = f", ROW_GROUP_SIZE {_RAW_ROWS}" if path.name.startswith("raw_") else ""
    options = f"FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false{group}"
    counted = connection.execute(f"COPY ({query}) TO {literal(str(path))} ({options})").fetchone()
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return _File(file.seek(0, os.SEEK_END), _sum(file), counted[0] if counted else 0)


def due(manifest: Manifest, source: str) -> list[Part]:
    """Gives the parts of a source that should become one now, or none."""
    tiers: dict[int, list[Part]] = {}
    for part in manifest.of(source):
        tiers.setdefault(part.tier, []).append(part)
    return next((parts for _, parts in sorted(tiers.items()) if len(parts) >= _MERGED_AT), [])


def sweep(folder: Path, manifest: Manifest) -> dict[str, float]:
    """Removes files that ceased to be part of the books so long ago that no reader opens them any more.

    Returns:
        Those that still wait.
    """
    waiting: dict[str, float] = {}
    if not manifest.left:
        return waiting
    read_since = readers.oldest(folder)
    for name, since in manifest.left.items():
        if 0 <= time.time() - since < _READERS_TIME or since >= read_since:
            waiting[name] = since
            continue
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError:  # on Windows nobody can remove a file while somebody reads it
            waiting[name] = since
    return waiting


def remove_strays(folder: Path, manifest: Manifest) -> None:
    """Removes files that a writer which was killed has left: no manifest names them. Only for the one writer."""
    known = {name for part in manifest.parts for name in part.names()} | set(manifest.left) | {manifest.journal_name}
    for path in folder.iterdir():
        is_ours = path.suffix in (".parquet", ".jsonl") and not path.name.startswith("damaged")
        if (is_ours and path.name not in known) or path.name.startswith((".journal-", ".damaged-")):
            with contextlib.suppress(OSError):
                path.unlink()


# --- reading ---


def literal(text: str) -> str:
    """Writes a text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def files_of(folder: Path, parts: Iterable[Part], table: str) -> str:
    """Writes the relation of a table's files; the parts that have none are left out.

    Raises:
        ValueError: if none of them has any.
    """
    names = [_no_pattern(str(folder / part.name(table))) for part in parts if table in part.files]
    if not names:
        raise ValueError(table)
    listed = ", ".join(literal(name) for name in names)
    return f"read_parquet([{listed}], hive_partitioning = false, union_by_name = false)"


def _no_pattern(path: str) -> str:
    """Keeps a path from being read as a pattern for many."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in path)


def relation(folder: Path, parts: Sequence[Part], table: str, nothing: str) -> str:
    """Writes the relation of a table's files, or `nothing` where there are none."""
    if any(table in part.files for part in parts):
        return f"(SELECT * FROM {files_of(folder, parts, table)})"
    return f"({nothing})"


def mark_dead(connection: duckdb.DuckDBPyConnection, folder: Path, parts: Sequence[Part], source: str) -> int:
    """Makes the table `dead_<source>` of the numbers of the records that count no more; gives how many.

    The largest part that came of a merge has each id once, and is only asked for ids that another part has too.
    """
    none = "SELECT NULL::BIGINT AS n, NULL::VARCHAR AS id WHERE false"
    own = [part for part in parts if part.source == source]
    merged = max((part for part in own if part.tier), key=lambda part: part.records, default=None)
    keys = {
        name: f"(SELECT n, id FROM {relation(folder, chosen, f'raw_{kind}', none)})"
        for name, kind, chosen in (
            ("few", source, [part for part in own if part is not merged]),
            ("gone", REMOVED, [part for part in parts if part.source == REMOVED]),
            ("many", source, [merged] if merged else []),
        )
    }
    in_journal = f"SELECT n, id FROM {INSIDE}.journal WHERE source IN ({literal(source)}, {literal(REMOVED)})"
    # Ids are long, and hardly any comes twice: hashes, of which a million fit little memory, tell which may, and only
    # these are compared as they are.
    connection.execute(
        f"CREATE OR REPLACE TABLE {INSIDE}.dead_{source} AS WITH few AS NOT MATERIALIZED "
        f"(SELECT * FROM {keys['few']} UNION ALL FROM {keys['gone']} UNION ALL {in_journal}), "
        f"both_ AS NOT MATERIALIZED (FROM few UNION ALL "
        f"SELECT n, id FROM {keys['many']} WHERE hash(id) IN (SELECT hash(id) FROM few)), "
        "twice AS NOT MATERIALIZED (SELECT hash(id) AS h FROM both_ GROUP BY h HAVING count(*) > 1) "
        "SELECT n FROM (SELECT n, max(n) OVER (PARTITION BY id) AS newest FROM both_ "
        "WHERE hash(id) IN (SELECT h FROM twice)) WHERE n < newest"
    )
    counted = connection.execute(f"SELECT count(*) FROM {INSIDE}.dead_{source}").fetchone()
    return int(counted[0]) if counted else 0


def changes(folder: Path, parts: Sequence[Part], source: str) -> str:
    """Writes a query for the ids of a source and when each was changed last; the newest record of each counts.

    Its parameters are the records in the journal (numbers, ids, times, whether they mark an id as removed: lists), and
    the ids that are asked for, or NULL for all.
    """
    none = "SELECT NULL::BIGINT AS n, NULL::VARCHAR AS id, NULL::VARCHAR AS updated_at WHERE false"
    stored, gone = (
        relation(folder, [part for part in parts if part.source == kind], f"raw_{kind}", none)
        for kind in (source, REMOVED)
    )
    return (
        f"WITH every AS (SELECT n, id, updated_at, false AS gone FROM {stored} "
        f"UNION ALL SELECT n, id, '', true FROM {gone} "
        "UNION ALL SELECT unnest($1::BIGINT[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]), unnest($4::BOOLEAN[])) "
        "SELECT id, arg_max(updated_at, n) FROM every "
        "WHERE $5::VARCHAR[] IS NULL OR id IN (SELECT unnest($5::VARCHAR[])) "
        "GROUP BY id HAVING NOT arg_max(gone, n)"
    )


def unchanged(folder: Path, parts: Sequence[Part], source: str) -> str:
    """Writes a query for the ids of a source of which no record came since, and that are not removed.

    Its parameters are those of `changes`, with the number of the first new record in place of the ids. New ids are
    compared by their hashes, of which a million fit little memory: one in 10^13 ids is passed over for it.
    """
    none = "SELECT NULL::BIGINT AS n, NULL::VARCHAR AS id WHERE false"
    stored, gone = (
        relation(folder, [part for part in parts if part.source == kind], f"raw_{kind}", none)
        for kind in (source, REMOVED)
    )
    return (
        "WITH journal AS (SELECT unnest($1::BIGINT[]) AS n, unnest($2::VARCHAR[]) AS id, unnest($3::VARCHAR[]), "
        "unnest($4::BOOLEAN[]) AS gone), "
        f"every AS (SELECT n, id FROM {stored} UNION ALL SELECT n, id FROM journal WHERE NOT gone), "
        f"removed AS (SELECT n, id FROM {gone} UNION ALL SELECT n, id FROM journal WHERE gone) "
        "SELECT DISTINCT id FROM every WHERE n < $5 AND hash(id) NOT IN (SELECT hash(id) FROM every WHERE n >= $5) "
        "AND NOT EXISTS (SELECT 1 FROM removed WHERE removed.id = every.id AND removed.n > every.n)"
    )


def show(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    parts: Sequence[Part],
    journal: Sequence[tuple[str, tuple[int, str, str, str, str | None]]],
    tables: Iterable[str],
) -> None:
    """Makes the views of a connection: the rows of tables, and the keys of the sources that they are made of.

    Args:
        connection: where.
        folder: of the parts.
        parts: the parts.
        journal: the records that are in none: the source, and what `load` takes.
        tables: which; each costs some milliseconds.

    Raises:
        duckdb.Error: if a part cannot be read.
    """
    wanted = frozenset(tables)
    connection.execute("BEGIN")
    try:
        hold(connection, journal)
        for source in SOURCES:
            if wanted.intersection(flatten.tables(source)):
                in_journal = any(kind == source for kind, _ in journal)
                _show_source(connection, folder, parts, source, wanted, in_journal=in_journal)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(Exception):
            connection.execute("ROLLBACK")
        raise


def hold(
    connection: duckdb.DuckDBPyConnection,
    journal: Sequence[tuple[str, tuple[int, str, str, str, str | None]]],
) -> None:
    """Makes the table of the records in the journal, which `mark_dead` asks."""
    connection.execute(f"CREATE SCHEMA IF NOT EXISTS {INSIDE}")
    load(connection, [record for _, record in journal])
    connection.execute(
        f"CREATE OR REPLACE TABLE {INSIDE}.journal AS "
        "SELECT incoming.*, source FROM incoming "
        "JOIN (SELECT unnest($1::BIGINT[]) AS n, unnest($2::VARCHAR[]) AS source) USING (n)",
        [[record[0] for _, record in journal], [source for source, _ in journal]],
    )
    connection.execute("DROP TABLE incoming")


def _show_source(
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    parts: Sequence[Part],
    source: str,
    wanted: Container[str],
    *,
    in_journal: bool,
) -> None:
    own = [part for part in parts if part.source == source]
    there = own or in_journal  # else nothing can be dead
    without = ""
    if there and mark_dead(connection, folder, parts, source):
        without = f" ANTI JOIN {INSIDE}.dead_{source} USING (n)"
    none = ", ".join(f"NULL::VARCHAR AS {each}" for each in ("id", "updated_at", "raw", "plain"))
    nothing = f"SELECT NULL::BIGINT AS n, {none} WHERE false"
    raw = relation(folder, own, f"raw_{source}", nothing)
    waiting = f"SELECT n, id, updated_at, raw, plain FROM {INSIDE}.journal WHERE source = {literal(source)}"
    connection.execute(
        f"CREATE OR REPLACE VIEW {INSIDE}.keys_{source} AS SELECT n, id, updated_at, raw FROM ("
        f"FROM {raw} UNION ALL {waiting}) p{without}"
    )
    if in_journal:
        connection.execute(f"CREATE OR REPLACE TABLE {INSIDE}.parsed AS {flatten.parsed(source, f'({waiting})')}")
    for table in flatten.tables(source):
        if table not in wanted:
            continue
        columns = ", ".join(f'"{name}"' for name in schema.TABLES[table].columns)
        rows = relation(folder, own, table, flatten.nothing(table))
        if in_journal:
            connection.execute(
                f"CREATE OR REPLACE TABLE {INSIDE}.journal_{table} AS {flatten.rows(table, f'{INSIDE}.parsed')}"
            )
            rows = f"(FROM {rows} UNION ALL FROM {INSIDE}.journal_{table})"
        connection.execute(f'CREATE OR REPLACE VIEW "{table}" AS SELECT {columns} FROM {rows} p{without}')
    connection.execute(f"DROP TABLE IF EXISTS {INSIDE}.parsed")
