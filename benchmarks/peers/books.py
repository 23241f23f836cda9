"""One process of benchmarks/books.py: does one thing in one way, and says what came of it as a line of JSON.

    python -m benchmarks.peers.books flatten-ours folder

Seconds are those of the work, without the start of Python and the imports. `peak` is the most memory that the process
has had, in MB.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import threading
import time
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.peers import invoices

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

INVOICES = "invoices.ndjson"
PERIOD = (date(2023, 1, 1), date(2023, 12, 31))
TOP = 10
SALES = "('invoice', 'salesinvoice', 'downpaymentinvoice', 'creditnote', 'salescreditnote')"
BOOKED = "voucher_status NOT IN ('draft', 'unchecked', 'blank', 'voided')"
MB = 1 << 20


def peak() -> float:
    """The most memory that this process has had, in MB."""
    try:
        text = Path("/proc/self/status").read_text("ascii")
        return int(text.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most / (MB if sys.platform == "darwin" else 1024)


def cents(amount: Any) -> int:
    return int(Decimal(str(amount or 0)) * 100)


def _direct(folder: Path) -> duckdb.DuckDBPyConnection:
    """DuckDB as one calls it who thinks of it: two threads, and as much memory as it likes."""
    import duckdb

    options = {"threads": "2", "preserve_insertion_order": "false", "temp_directory": str(folder / "spill")}
    return duckdb.connect(config=options)


# --- flattening ---


def bodies(folder: Path) -> dict[str, Any]:
    """Makes of the JSON lines the file of bodies that the books would have, in groups as large as theirs."""
    from lexoffice_nb.books import parts

    source = f"read_ndjson_objects('{folder / INVOICES}')"
    raw = "json::VARCHAR AS raw, NULL::VARCHAR AS plain"
    made = _direct(folder).execute(
        f"COPY (SELECT row_number() OVER () AS n, json->>'id' AS id, json->>'updatedDate' AS updated_at, {raw} "
        f"FROM {source}) TO '{folder / 'raw_documents-000001.parquet'}' "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {parts._RAW_ROWS})"
    )
    return {"count": made.fetchall()[0][0]}


def _part(folder: Path) -> Any:
    from lexoffice_nb.books import parts

    path = folder / "raw_documents-000001.parquet"
    return parts.Part(1, "documents", 0, {"raw_documents": path.stat().st_size})


def flatten_ours(folder: Path, memory: str = "") -> Callable[[], str]:
    """The tables that the books make of bodies, by their own statements, with their own little memory or another."""
    from lexoffice_nb.books import flatten, parts, store

    connection = store._connection(folder / "spill", memory or store._MEMORY)
    files = parts.files_of(folder, [_part(folder)], "raw_documents")

    def run() -> str:
        connection.execute(f"CREATE TEMP TABLE parsed AS {flatten.parsed('documents', files)}")
        for table in flatten.tables("documents"):
            parts._write_file(connection, folder / f"{table}-ours.parquet", flatten.rows(table, "parsed"))
        return "ours"

    return run


def flatten_unbounded(folder: Path) -> Callable[[], str]:
    """The same, with as much memory as DuckDB by hand may take."""
    return flatten_ours(folder, "80%")


def rebuild_ours(folder: Path) -> Callable[[], str]:
    """The same by the function that makes a damaged part anew; it writes the bodies, too."""
    from lexoffice_nb.books import parts, store

    connection, part = store._connection(folder / "spill", store._MEMORY), _part(folder)

    def run() -> str:
        parts.rebuild(connection, folder, part, 2)
        return "000002"

    return run


LINE = (
    'STRUCT(id VARCHAR, "type" VARCHAR, "name" VARCHAR, quantity DECIMAL(18,4), unitName VARCHAR, '
    "unitPrice STRUCT(netAmount DECIMAL(18,4), grossAmount DECIMAL(18,4), taxRatePercentage DECIMAL(7,4)), "
    "discountPercentage DECIMAL(7,4), lineItemAmount DECIMAL(18,2))[]"
)
DIRECT = {
    "id": "VARCHAR",
    "kind": "VARCHAR",
    "voucherStatus": "VARCHAR",
    "voucherNumber": "VARCHAR",
    "voucherDate": "VARCHAR",
    "dueDate": "VARCHAR",
    "updatedDate": "VARCHAR",
    "listedDate": "VARCHAR",
    "version": "INTEGER",
    "archived": "BOOLEAN",
    "closingInvoice": "BOOLEAN",
    "claimedGrossAmount": "DECIMAL(18,2)",
    "recurringTemplateId": "VARCHAR",
    "shippingConditions": "STRUCT(shippingDate VARCHAR)",
    "address": 'STRUCT(contactId VARCHAR, "name" VARCHAR, countryCode VARCHAR)',
    "taxConditions": "STRUCT(taxType VARCHAR)",
    "totalPrice": "STRUCT(currency VARCHAR, totalNetAmount DECIMAL(18,2), totalTaxAmount DECIMAL(18,2), "
    "totalGrossAmount DECIMAL(18,2), totalDiscountAbsolute DECIMAL(18,2), totalDiscountPercentage DECIMAL(7,4))",
    "lineItems": LINE,
    "taxAmounts": "STRUCT(taxRatePercentage DECIMAL(7,4), netAmount DECIMAL(18,2), taxAmount DECIMAL(18,2))[]",
    "downPaymentDeductions": "STRUCT(id VARCHAR, voucherType VARCHAR, taxRatePercentage DECIMAL(7,4), "
    "receivedNetAmount DECIMAL(18,2), receivedTaxAmount DECIMAL(18,2), receivedGrossAmount DECIMAL(18,2))[]",
    "relatedVouchers": "STRUCT(id VARCHAR, voucherType VARCHAR)[]",
}
DIRECT_TABLES = {
    "documents": "SELECT id, kind, voucherStatus, voucherNumber, voucherDate[:10]::DATE AS voucher_date, "
    "dueDate[:10]::DATE AS due_date, shippingConditions.shippingDate[:10]::DATE AS shipping_date, updatedDate, "
    'address.contactId AS contact_id, address."name" AS contact_name, address.countryCode AS country_code, '
    "taxConditions.taxType AS tax_type, totalPrice.totalNetAmount AS net_amount, totalPrice.totalTaxAmount AS "
    "tax_amount, totalPrice.totalGrossAmount AS gross_amount, totalPrice.totalDiscountAbsolute, "
    "totalPrice.totalDiscountPercentage, totalPrice.currency, version, archived, closingInvoice, "
    "claimedGrossAmount, recurringTemplateId, listedDate FROM read",
    "line_items": 'SELECT document_id, kind, position, l."type", l.id, l."name", l.quantity, l.unitName, '
    "l.unitPrice.netAmount AS unit_net_amount, l.unitPrice.grossAmount AS unit_gross_amount, "
    "l.unitPrice.taxRatePercentage AS tax_rate, l.discountPercentage, l.lineItemAmount AS amount FROM ("
    "SELECT id AS document_id, kind, unnest(lineItems) AS l, unnest(range(1, len(lineItems) + 1)) AS position "
    "FROM read)",
    "tax_amounts": "SELECT document_id, kind, t.taxRatePercentage AS tax_rate, t.netAmount AS net_amount, "
    "t.taxAmount AS tax_amount FROM (SELECT id AS document_id, kind, unnest(taxAmounts) AS t FROM read)",
    "deductions": "SELECT document_id, t.* "
    "FROM (SELECT id AS document_id, unnest(downPaymentDeductions) AS t FROM read)",
    "related": "SELECT document_id, t.* FROM (SELECT id AS document_id, unnest(relatedVouchers) AS t FROM read)",
}


def flatten_direct(folder: Path) -> Callable[[], str]:
    """DuckDB's own reader of JSON with typed columns, and SQL by hand: read once, then a file of each table."""
    connection = _direct(folder)
    columns = ", ".join(f"{name}: '{kind}'" for name, kind in DIRECT.items())

    def run() -> str:
        source = f"read_json('{folder / INVOICES}', format = 'newline_delimited', columns = {{{columns}}})"
        connection.execute(f"CREATE TEMP TABLE read AS FROM {source}")
        for table, query in DIRECT_TABLES.items():
            path = folder / f"{table}-direct.parquet"
            connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        return "direct"

    return run


def flatten_normalize(folder: Path) -> Callable[[], str]:
    """What one finds when one asks how to flatten JSON: json.loads and pandas.json_normalize, then Parquet."""
    import pandas

    def run() -> str:
        with (folder / INVOICES).open(encoding="ascii") as file:
            read = [json.loads(line) for line in file]
        documents = pandas.json_normalize(read).drop(columns=["lineItems", "taxAmounts", "relatedVouchers"])
        lines = pandas.json_normalize(read, "lineItems", ["id", "kind"], meta_prefix="document.")
        taxes = pandas.json_normalize(read, "taxAmounts", ["id", "kind"], meta_prefix="document.")
        documents = documents.rename(
            columns={f"totalPrice.total{name.title()}Amount": f"{name}_amount" for name in ("net", "tax", "gross")}
        )
        lines = lines.rename(columns={"lineItemAmount": "amount"})
        taxes = taxes.rename(columns={"taxAmount": "tax_amount", "taxRatePercentage": "tax_rate"})
        for name, frame in (("documents", documents), ("line_items", lines), ("tax_amounts", taxes)):
            frame.to_parquet(folder / f"{name}-normalize.parquet", compression="zstd")
        return "normalize"

    return run


def sums(folder: Path, which: str) -> dict[str, Any]:
    """What the files that a way has written add up to, beside what they should."""
    connection = _direct(folder)

    def one(query: str) -> tuple[Any, ...]:
        return connection.execute(query).fetchall()[0]

    amounts = "sum(net_amount), sum(tax_amount), sum(gross_amount)"
    totals = one(f"SELECT {amounts}, any_value(typeof(net_amount)) FROM '{folder / f'documents-{which}.parquet'}'")
    lines = one(f"SELECT count(*), sum(amount) FROM '{folder / f'line_items-{which}.parquet'}'")
    rates = connection.execute(
        f"SELECT tax_rate::INTEGER, sum(tax_amount) FROM '{folder / f'tax_amounts-{which}.parquet'}' GROUP BY 1"
    ).fetchall()
    found = invoices.Totals(
        lines[0],
        cents(lines[1]),
        *map(cents, totals[:3]),
        {str(rate): cents(amount) for rate, amount in sorted(rates, reverse=True)},
    )
    return {"exact": found == invoices.read_totals(folder / INVOICES), "type": totals[3]}


def timed(make: Callable[[Path], Callable[[], str]], folder: Path) -> dict[str, Any]:
    run = make(folder)
    began, cpu = time.perf_counter(), time.process_time()
    which = run()
    spent = {"seconds": time.perf_counter() - began, "cpu": time.process_time() - cpu, "peak": peak()}
    return {**spent, **sums(folder, which)}


# --- reports ---

TABLES = {
    "vouchers": """
        SELECT n, id,
            CASE n % 20 WHEN 0 THEN 'creditnote' WHEN 1 THEN 'salesinvoice' ELSE 'invoice' END AS voucher_type,
            CASE WHEN n % 50 = 7 THEN 'draft' ELSE 'paid' END AS voucher_status, 'RE' || n AS voucher_number,
            day AS voucher_date, day + 14 AS due_date, day AS created_date, day AS updated_date,
            day || 'T08:15:30.000+01:00' AS updated_at, contact AS contact_id, 'Kundschaft ' || who AS contact_name,
            (net * 119 / 10000)::DECIMAL(18,2) AS total_amount, 0::DECIMAL(18,2) AS open_amount, 'EUR' AS currency,
            false AS archived FROM base""",
    "documents": """
        SELECT n, id, CASE n % 20 WHEN 0 THEN 'credit-notes' WHEN 1 THEN 'vouchers' ELSE 'invoices' END AS kind,
            CASE n % 20 WHEN 1 THEN 'salesinvoice' END AS voucher_type, 'paid' AS voucher_status,
            'RE' || n AS voucher_number, day AS voucher_date, day + 14 AS due_date, day AS shipping_date,
            day || 'T08:15:30.000+01:00' AS updated_at, contact AS contact_id, 'Kundschaft ' || who AS contact_name,
            'DE' AS country_code, 'net' AS tax_type,
            CASE WHEN n % 20 <> 1 THEN (net / 100)::DECIMAL(18,2) END AS net_amount,
            (net * 19 / 10000)::DECIMAL(18,2) AS tax_amount, (net * 119 / 10000)::DECIMAL(18,2) AS gross_amount,
            NULL::DECIMAL(18,2) AS total_discount_absolute, NULL::DECIMAL(7,4) AS total_discount_percentage,
            'EUR' AS currency, 3 AS version, false AS archived, false AS closing_invoice,
            NULL::DECIMAL(18,2) AS claimed_gross_amount, NULL::VARCHAR AS recurring_template_id,
            day || 'T08:15:30.000+01:00' AS listed_at FROM base""",
    "line_items": """
        SELECT n, id AS document_id, CASE n % 20 WHEN 0 THEN 'credit-notes' WHEN 1 THEN 'vouchers' ELSE 'invoices' END
            AS kind, position::INTEGER AS position, 'service' AS type, 'ware-' || (n * 7 + position) % 64 AS article_id,
            'Ware ' || (n * 7 + position) % 64 AS name, 1::DECIMAL(18,4) AS quantity, 'Stunde' AS unit_name,
            (net / 500)::DECIMAL(18,4) AS unit_net_amount, NULL::DECIMAL(18,4) AS unit_gross_amount,
            19::DECIMAL(7,4) AS tax_rate, 0::DECIMAL(7,4) AS discount, (net / 500)::DECIMAL(18,2) AS amount,
            (net * 19 / 50000)::DECIMAL(18,2) AS tax_amount, NULL::VARCHAR AS category_id
            FROM base, (SELECT unnest(range(1, 6)) AS position)""",
    "tax_amounts": """
        SELECT n, id AS document_id, CASE n % 20 WHEN 0 THEN 'credit-notes' ELSE 'invoices' END AS kind,
            rate::DECIMAL(7,4) AS tax_rate, (net / 200)::DECIMAL(18,2) AS net_amount,
            (net * rate / 20000)::DECIMAL(18,2) AS tax_amount
            FROM base, (SELECT unnest([7, 19]) AS rate) WHERE n % 20 <> 1""",
    "deductions": """
        SELECT n, id AS document_id, id AS down_payment_id, 'downpaymentinvoice' AS voucher_type,
            19::DECIMAL(7,4) AS tax_rate, 1::DECIMAL(18,2) AS net_amount, 0.19::DECIMAL(18,2) AS tax_amount,
            1.19::DECIMAL(18,2) AS gross_amount FROM base WHERE n % 100 = 2""",
    "contacts": """
        SELECT who + 1 AS n, 'contact-' || lpad(who::VARCHAR, 28, '0') AS id, who::INTEGER AS customer_number,
            NULL::INTEGER AS vendor_number, 'Kundschaft ' || who || ' GmbH' AS company, NULL::VARCHAR AS first_name,
            NULL::VARCHAR AS last_name, '79112' AS zip, 'Freiburg' AS city, 'DE' AS country_code,
            NULL::VARCHAR AS vat_registration_id, false AS archived FROM (SELECT unnest(range(500)) AS who)""",
}
SOURCE_OF = {"vouchers": "rows", "contacts": "contacts"}


def make_books(folder: Path, lines: int) -> dict[str, Any]:
    """Writes books with that many lines, five to a document: parts as the store has them, but no bodies."""
    from lexoffice_nb.books import parts

    folder.mkdir(mode=0o700, exist_ok=True)
    connection = _direct(folder)
    connection.execute(
        "CREATE VIEW base AS SELECT n, lpad(n::VARCHAR, 36, '0') AS id, hash(n) % 500 AS who, "
        "'contact-' || lpad((hash(n) % 500)::VARCHAR, 28, '0') AS contact, "
        "DATE '2021-01-01' + (hash(n + 1) % 1825)::INTEGER AS day, (100 * (hash(n + 2) % 50000 + 1))::BIGINT AS net "
        f"FROM (SELECT unnest(range(1, {lines // 5 + 1}))::BIGINT AS n)"
    )
    files: dict[str, dict[str, int]] = {"rows": {}, "documents": {}, "contacts": {}}
    numbers = {"rows": 1, "documents": 2, "contacts": 3}
    raw = {
        f"raw_{source}": f"SELECT n, id, '' AS updated_at, NULL::VARCHAR AS raw, NULL::VARCHAR AS plain FROM "
        f"({TABLES[table]})"
        for source, table in (("rows", "vouchers"), ("documents", "documents"), ("contacts", "contacts"))
    }
    for table, query in {**raw, **TABLES}.items():
        source = table.removeprefix("raw_") if table in raw else SOURCE_OF.get(table, "documents")
        path = folder / f"{table}-{numbers[source]:06}.parquet"
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        path.chmod(0o600)
        files[source][table] = path.stat().st_size
    made = tuple(parts.Part(numbers[source], source, 1, sizes, tier=1) for source, sizes in files.items())
    parts.write_manifest(folder, parts.Manifest(following=lines, part=4, parts=made))
    return {"octets": sum(size for sizes in files.values() for size in sizes.values())}


SIGN = "CASE WHEN v.voucher_type LIKE '%creditnote' THEN -1 ELSE 1 END"
BY_HAND = {
    "revenue by month, net": f"""
        WITH sold AS (SELECT * FROM vouchers v WHERE voucher_type IN {SALES} AND {BOOKED}),
        amounts AS (
            SELECT date_trunc('month', v.voucher_date) AS month, count(*) AS count,
                sum({SIGN} * coalesce(d.net_amount, d.gross_amount - d.tax_amount)) AS revenue
            FROM sold v JOIN documents d USING (id) GROUP BY 1
            UNION ALL
            SELECT date_trunc('month', v.voucher_date), 0, -sum({SIGN} * d.net_amount)
            FROM deductions d JOIN sold v ON v.id = d.document_id GROUP BY 1)
        SELECT strftime(month, '%Y-%m'), sum(revenue), sum(count) FROM amounts GROUP BY month ORDER BY month""",
    "VAT per rate, a year": f"""
        WITH sold AS (
            SELECT * FROM vouchers v WHERE voucher_type IN {SALES} AND {BOOKED}
            AND voucher_date BETWEEN DATE '{PERIOD[0]}' AND DATE '{PERIOD[1]}'),
        amounts AS (
            SELECT tax_rate, sum({SIGN} * net_amount) AS net, sum({SIGN} * tax_amount) AS tax
            FROM tax_amounts t JOIN sold v ON v.id = t.document_id GROUP BY 1
            UNION ALL
            SELECT tax_rate, -sum({SIGN} * net_amount), -sum({SIGN} * tax_amount)
            FROM deductions t JOIN sold v ON v.id = t.document_id GROUP BY 1
            UNION ALL
            SELECT l.tax_rate,
                sum({SIGN} * (CASE WHEN d.tax_type = 'net' THEN l.amount ELSE l.amount - l.tax_amount END)),
                sum({SIGN} * l.tax_amount)
            FROM line_items l JOIN sold v ON v.id = l.document_id JOIN documents d ON d.id = l.document_id
            WHERE l.kind = 'vouchers' GROUP BY 1)
        SELECT tax_rate, sum(net), sum(tax) FROM amounts GROUP BY 1 ORDER BY 1""",
    "top customers": f"""
        WITH sold AS (SELECT * FROM vouchers v WHERE voucher_type IN {SALES} AND {BOOKED}),
        amounts AS (
            SELECT v.contact_id, sum({SIGN} * total_amount) AS revenue, count(*) AS count,
                arg_max(contact_name, voucher_date) AS name FROM sold v GROUP BY 1
            UNION ALL
            SELECT v.contact_id, -sum({SIGN} * d.gross_amount), 0, NULL
            FROM deductions d JOIN sold v ON v.id = d.document_id GROUP BY 1)
        SELECT coalesce(any_value(c.company), any_value(a.name)), contact_id, sum(revenue), sum(count)
        FROM amounts a LEFT JOIN contacts c ON c.id = a.contact_id
        GROUP BY contact_id ORDER BY 3 DESC, 1 LIMIT {TOP}""",
}


def _plans(frames: Any) -> dict[str, Callable[[], list[tuple[Any, ...]]]]:
    from lexoffice_nb.books import reports

    def rows(plan: Any) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in reports.collect(plan)]

    return {
        "revenue by month, net": lambda: rows(reports.revenue(frames, "month", "net")),
        "VAT per rate, a year": lambda: rows(reports.vat(frames, *PERIOD)),
        "top customers": lambda: [row[:4] for row in rows(reports.customers(frames, TOP))],
    }


def _asked_of(way: str, folder: Path) -> dict[str, Callable[[], list[tuple[Any, ...]]]]:
    """Each report as a call; what was opened or read before is not part of it."""
    from lexoffice_nb.books import schema
    from lexoffice_nb.books.reports import Frames
    from lexoffice_nb.books.store import Store

    connection = _direct(folder)
    paths = {table: next(folder.glob(f"{table}-0*.parquet"), None) for table in schema.TABLES}
    if way == "by-hand":
        for table, path in paths.items():
            if path:
                connection.execute(f"CREATE VIEW {table} AS FROM read_parquet('{path}')")
        return {name: lambda query=query: connection.execute(query).fetchall() for name, query in BY_HAND.items()}
    Store(folder).connect(connection)
    if way == "ours":
        return _plans(Frames.of(connection))
    if way == "polars":
        import polars

        frames = {
            table: polars.scan_parquet(path) if path else connection.table(table).pl() for table, path in paths.items()
        }
        return _plans(Frames.from_native(frames))
    import pandas

    frames = {
        table: pandas.read_parquet(path, dtype_backend="pyarrow")
        if path
        else connection.table(table).to_arrow_table().to_pandas(types_mapper=pandas.ArrowDtype)
        for table, path in paths.items()
    }
    return _plans(Frames.from_native(frames))


def report(way: str, folder: Path, rounds: int) -> dict[str, Any]:
    """Asks for each report that many times; the first time apart, since files may not be in memory yet."""
    asked = _asked_of(way, folder)
    times: dict[str, list[tuple[float, float]]] = {}
    answers = {name: _plain(ask()) for name, ask in asked.items()}
    for _ in range(rounds):
        for name, ask in asked.items():
            began, cpu = time.perf_counter(), time.process_time()
            ask()
            times.setdefault(name, []).append((time.perf_counter() - began, time.process_time() - cpu))
    return {"times": times, "peak": peak(), "answers": answers}


def _plain(rows: list[tuple[Any, ...]]) -> list[list[str]]:
    """Amounts as texts with as many places as they need, so that answers can be compared."""
    return [[f"{each.normalize():f}" if isinstance(each, Decimal) else str(each) for each in row] for row in rows]


# --- syncs, at a sandbox elsewhere ---


def _session(given: dict[str, Any]) -> Any:
    from lexoffice_nb.oauth.provider import Provider
    from lexoffice_nb.session import LexofficeSession

    provider = replace(Provider.discover(given["url"]), request_interval=given["interval"])
    return LexofficeSession.from_api_key(given["key"], provider)


def list_step(given: dict[str, Any]) -> dict[str, Any]:
    """The first step of a sync; the documents are left."""
    books = _session(given).books
    began = time.perf_counter()
    sync = books.sync()
    seconds = time.perf_counter() - began
    most = peak()
    sync.stop()
    sync.join(60)
    return {"seconds": seconds, "peak": max(most, peak()), "vouchers": sync.vouchers}


def fill(given: dict[str, Any]) -> dict[str, Any]:
    """The list, and in place of each document one that says no more than which it is: nobody asks for them."""
    import duckdb

    books = _session(given).books
    sync = books.sync()
    sync.stop()
    sync.join(60)
    with duckdb.connect() as connection:
        books.store.connect(connection)
        rows = connection.execute("SELECT id, updated_at FROM vouchers").fetchall()
        paid = connection.execute(
            "SELECT id FROM vouchers WHERE voucher_type = 'invoice' AND voucher_status = 'paid' ORDER BY id"
        ).fetchall()
    books.store.add("documents", [{"id": id_, "kind": "invoices", "listedDate": listed} for id_, listed in rows])
    return {"paid": [id_ for (id_,) in paid]}


def increment(given: dict[str, Any]) -> dict[str, Any]:
    """A further sync, to its end."""
    sync = _session(given).books.sync(wait=True)
    return {"vouchers": sync.vouchers, "read": sync.read, "missing": sync.missing}


def in_kernel(given: dict[str, Any]) -> dict[str, Any]:
    """The list step in a kernel of Jupyter, which says first how much memory it has when it is idle."""
    import psutil
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="python3", startup_timeout=120)
    try:
        process = psutil.Process(manager.provisioner.pid)
        client.execute("1 + 1", reply=True, timeout=60)
        idle = process.memory_info().rss / MB
        code = f"import sys\nsys.path.insert(0, {str(Path.cwd())!r})\nfrom benchmarks.peers import books\n"
        code += f"said_ = books.json.dumps(books.list_step({given!r}))"
        reply = client.execute(code, reply=True, timeout=3600, user_expressions={"said": "said_"})["content"]
        if reply["status"] != "ok":
            raise RuntimeError("\n".join(reply["traceback"]))
        said = ast.literal_eval(reply["user_expressions"]["said"]["data"]["text/plain"])
        return {**json.loads(said), "idle": idle}
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def some_requests(given: dict[str, Any]) -> dict[str, Any]:
    """A cold sync that is stopped after so many documents."""
    books = _session(given).books
    sync = books.sync()
    while sync.read < given["requests"] and not sync.ended:
        time.sleep(0.02)
    sync.stop()
    sync.join(60)
    return {"read": sync.read, "peak": peak()}


def main() -> None:
    end = threading.Timer(3600, os._exit, (3,))
    end.daemon = True
    end.start()
    what, *rest = sys.argv[1:]
    ways: dict[str, Callable[..., dict[str, Any]]] = {
        "bodies": lambda folder: bodies(Path(folder)),
        "ours": lambda folder: timed(flatten_ours, Path(folder)),
        "unbounded": lambda folder: timed(flatten_unbounded, Path(folder)),
        "rebuild": lambda folder: timed(rebuild_ours, Path(folder)),
        "direct": lambda folder: timed(flatten_direct, Path(folder)),
        "normalize": lambda folder: timed(flatten_normalize, Path(folder)),
        "make-books": lambda folder, lines: make_books(Path(folder), int(lines)),
        "report": lambda way, folder, rounds: report(way, Path(folder), int(rounds)),
        "list-step": lambda given: list_step(json.loads(given)),
        "fill": lambda given: fill(json.loads(given)),
        "increment": lambda given: increment(json.loads(given)),
        "kernel-list-step": lambda given: in_kernel(json.loads(given)),
        "requests": lambda given: some_requests(json.loads(given)),
    }
    print(json.dumps(ways[what](*rest)), flush=True)


if __name__ == "__main__":
    main()
