"""`%%lexoffice_sql` in a real shell and in a real kernel, over a real store."""

from __future__ import annotations

import time
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

from lexoffice_nb.books import schema_de
from lexoffice_nb.books.report import Report
from lexoffice_nb.books.schema import TABLES
from lexoffice_nb.errors import BooksError, LexofficeError, SignedOut
from lexoffice_nb.session import LexofficeSession
from lexoffice_nb.texts import use_language

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from IPython.core.interactiveshell import InteractiveShell

    from lexoffice_nb.sandbox import Sandbox
    from tests.notebook.kernels import Kernel

NAME = "Ä'; DROP VIEW vouchers; --"


def voucher(number: int, name: str = "Muster GmbH") -> dict[str, Any]:
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "voucherType": "invoice",
        "voucherStatus": "open",
        "voucherNumber": f"RE{number:04}",
        "voucherDate": f"2025-03-{number:02}T00:00:00.000+01:00",
        "updatedDate": "2025-03-31T10:00:00.000+02:00",
        "contactName": name,
        "totalAmount": Decimal("0.10") * number,
        "openAmount": Decimal("0.10"),
        "currency": "EUR",
        "archived": False,
    }


def put_books(session: LexofficeSession) -> None:
    session.books.store.add("rows", [voucher(1), voucher(2), voucher(3, NAME)])


@pytest.fixture
def signed_in(
    loaded: InteractiveShell, box: Sandbox, as_demo: None, capsys: pytest.CaptureFixture[str]
) -> Iterator[InteractiveShell]:
    """A shell with a session that has books of three vouchers."""
    loaded.run_line_magic("lexoffice_login", "")
    session = loaded.user_ns["lexoffice"]
    put_books(session)
    capsys.readouterr()
    yield loaded
    if session.signed_in:
        session.books.forget()


def ask(ip: InteractiveShell, cell: str, line: str = "") -> Report:
    report = ip.run_cell_magic("lexoffice_sql", line, cell)
    assert isinstance(report, Report)
    return report


def refused(ip: InteractiveShell, cell: str, line: str = "") -> str:
    with pytest.raises(LexofficeError) as caught:
        ip.run_cell_magic("lexoffice_sql", line, cell)
    return caught.value.code


# --- asking -----------------------------------------------------------------------------------------------------------


def test_a_cell_is_answered_from_the_books_without_asking_the_api(signed_in: InteractiveShell, box: Sandbox) -> None:
    before = len(box.requests)
    report = ask(signed_in, "SELECT sum(total_amount) AS total, max(voucher_date) AS last FROM vouchers\n")
    assert report[0] == {"total": Decimal("0.60"), "last": date(2025, 3, 3)}
    assert len(box.requests) == before


def test_the_answer_is_shown_and_left_in_the_underscore_and_under_its_name(
    signed_in: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    done = signed_in.run_cell("%%lexoffice_sql totals\nSELECT sum(total_amount) AS total FROM vouchers")
    assert done.error_in_exec is None
    assert "total" in capsys.readouterr().out
    assert signed_in.user_ns["totals"] is done.result
    assert signed_in.user_ns["_"] is done.result


def test_a_name_that_held_a_result_is_used_again(signed_in: InteractiveShell) -> None:
    first = ask(signed_in, "SELECT 1 AS x", "found")
    second = ask(signed_in, "SELECT 2 AS x", "found")
    assert signed_in.user_ns["found"] is second is not first


@pytest.mark.parametrize("value", ["mine", None, 0])
def test_a_variable_of_the_persons_is_not_overwritten(signed_in: InteractiveShell, value: object) -> None:
    signed_in.user_ns["mine"] = value
    assert refused(signed_in, "SELECT 1", "mine") == "sql_taken"
    assert signed_in.user_ns["mine"] is value
    assert refused(signed_in, "SELECT 1", "lexoffice") == "sql_taken"
    ask(signed_in, "SELECT 1", "found")
    signed_in.user_ns["found"] = value
    assert refused(signed_in, "SELECT 1", "found") == "sql_taken"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("1x", "name_invalid"),
        ("a-b", "name_invalid"),
        ("for", "name_invalid"),
        ("_", "name_invalid"),
        ("print", "name_builtin"),
        ("f3b1c2d4e5a69788f3b1c2d4e5a69788", "secret_in_cell"),
    ],
)
def test_what_cannot_be_a_variable_is_refused_before_anything_is_asked(
    signed_in: InteractiveShell, name: str, code: str
) -> None:
    assert refused(signed_in, "SELECT nonsense", name) == code


def test_after_a_mistake_the_variable_is_as_it_was(signed_in: InteractiveShell) -> None:
    first = ask(signed_in, "SELECT 1 AS x", "found")
    assert refused(signed_in, "SELECT nonsense FROM vouchers", "found") == "sql_failed_hint"
    assert signed_in.user_ns["found"] is first


def test_another_session_is_asked_by_its_name(signed_in: InteractiveShell) -> None:
    signed_in.user_ns["other"] = signed_in.user_ns["lexoffice"]
    assert ask(signed_in, "SELECT count(*) AS n FROM vouchers", "--session other")[0] == {"n": 3}


def test_an_empty_cell_lists_the_tables_in_the_persons_language(loaded: InteractiveShell) -> None:
    use_language("de")
    report = ask(loaded, "\n")
    assert report.title == "Tabellen der Bücher"
    for cell in ("%lexoffice_sql", "%%lexoffice_sql\n\n  \n"):
        assert loaded.run_cell(cell).result.title == "Tabellen der Bücher"
    assert [row["table"] for row in report if row["table"]] == list(TABLES)
    said = [row["says"] for row in report]
    assert said == [words for table in TABLES for words in schema_de.COLUMNS[table].values()]
    assert "Belegdatum" in said


# --- parameters -------------------------------------------------------------------------------------------------------


def test_variables_are_handed_over_beside_the_statement_and_never_written_into_it(signed_in: InteractiveShell) -> None:
    signed_in.user_ns.update(who=NAME, since=date(2025, 3, 2), column="total_amount")
    assert ask(signed_in, "SELECT voucher_number AS n FROM vouchers WHERE contact_name = $who")[0] == {"n": "RE0003"}
    assert ask(signed_in, "SELECT count(*) AS n FROM vouchers WHERE voucher_date >= $since")[0] == {"n": 2}
    assert ask(signed_in, "SELECT '{who} $who {1 + 1}' AS x")[0] == {"x": "{who} $who {1 + 1}"}
    assert refused(signed_in, "SELECT {column} FROM vouchers").startswith("sql_failed")
    assert len(ask(signed_in, "FROM vouchers")) == 3


def test_a_session_is_no_parameter(signed_in: InteractiveShell) -> None:
    assert refused(signed_in, "SELECT $lexoffice") == "sql_parameter_type"
    assert refused(signed_in, "SELECT $nobody") == "sql_parameter_missing"


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_without_a_session_it_says_what_to_do(loaded: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    result = loaded.run_cell("%%lexoffice_sql\nSELECT 1")
    assert isinstance(result.error_in_exec, BooksError)
    shown = capsys.readouterr().out.strip().splitlines()
    assert len(shown) == 2
    assert "%lexoffice_login" in shown[1]
    loaded.user_ns["lexoffice"] = "something else"
    assert refused(loaded, "SELECT 1") == "sql_session"


def test_without_books_it_says_what_to_do(signed_in: InteractiveShell) -> None:
    signed_in.user_ns["lexoffice"].books.forget()
    with pytest.raises(BooksError, match=r"lexoffice\.books\.sync\(\)"):
        signed_in.run_cell_magic("lexoffice_sql", "", "SELECT 1")


def test_a_session_that_nobody_is_signed_in_to_says_so(loaded: InteractiveShell) -> None:
    loaded.user_ns["lexoffice"] = LexofficeSession()
    with pytest.raises(SignedOut):
        loaded.run_cell_magic("lexoffice_sql", "", "SELECT 1")


def test_a_mistake_in_sql_is_two_lines_with_duckdbs_proposal(
    signed_in: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    signed_in.run_cell("%%lexoffice_sql\nSELECT totl_amount\nFROM vouchers")
    shown = capsys.readouterr().out.strip().splitlines()
    assert len(shown) == 2
    assert "totl_amount" in shown[0]
    assert "total_amount" in shown[1]


@pytest.mark.parametrize("line", ["--nothing", "a b", "--session"])
def test_a_line_that_cannot_be_understood_is_refused(signed_in: InteractiveShell, line: str) -> None:
    with pytest.raises(UsageError):
        signed_in.run_cell_magic("lexoffice_sql", line, "SELECT 1")


def test_a_value_that_looks_like_markup_is_shown_as_it_is(signed_in: InteractiveShell) -> None:
    report = ask(signed_in, "SELECT '<img src=x onerror=alert(1)>' AS \"<b>x</b>\"")
    html = report._repr_html_()
    assert "<img" not in html
    assert "<b>" not in html
    assert "&lt;img src=x" in html


def test_unloading_takes_the_magic_and_its_completion_away(loaded: InteractiveShell) -> None:
    assert "lexoffice_sql" in loaded.magics_manager.magics["cell"]
    loaded.run_line_magic("unload_ext", "lexoffice_nb")
    assert "lexoffice_sql" not in loaded.magics_manager.magics["cell"]
    assert completed(loaded, "%%lexoffice_sql\nSELECT * FROM vou") == []


def test_the_help_says_how_it_is_used(loaded: InteractiveShell) -> None:
    words = loaded.find_cell_magic("lexoffice_sql").__doc__ or ""
    assert "%lexoffice_sql [NAME] [--session S]" in words
    assert "$name" in words


# --- completion -------------------------------------------------------------------------------------------------------


def completed(ip: InteractiveShell, cell: str) -> list[str]:
    """What Tab proposes where `|` stands, or at the end."""
    before, _, after = cell.partition("|")
    with provisionalcompleter():
        found = list(ip.Completer.completions(before + after, len(before)))
    for each in found:
        assert each.text.lower().startswith(before[each.start :].lower())
    return [each.text for each in found]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("SELECT * FROM vou", ["vouchers"]),
        ("SELECT * FROM ", list(TABLES)),
        ("SELECT * FROM vouchers, ", list(TABLES)),
        ("select * from vouchers join doc", ["documents"]),
        ("SELECT total_am| FROM vouchers", ["total_amount"]),
        ("SELECT v.tot| FROM vouchers v", ["total_amount"]),
        ("SELECT v.tot| FROM vouchers AS v JOIN documents d", ["total_amount"]),
        ("SELECT d.net| FROM vouchers v JOIN documents AS d", ["net_amount"]),
        ("SELECT vouchers.open| FROM vouchers", ["open_amount"]),
        ("SELECT id,\n  contact_n| FROM vouchers", ["contact_name"]),
        ("FROM payments SELECT paid", ["paid_date"]),
        ("SELECT (paym| FROM payments", ["payment_status", "payments", "payment_items"]),
        ("SEL", ["SELECT"]),
        ("sel", ["select"]),
        ("SELECT * FROM vouchers WHERE contact_name = $wh", ["who"]),
        ("DESCRIBE cont", ["contacts"]),
        ("SELECT 'it''s', voucher_n| FROM vouchers", ["voucher_number"]),
        ("SELECT 1 -- it's\n, voucher_n| FROM vouchers", ["voucher_number"]),
        ("WITH t AS (FROM vouchers) SELECT currency, voucher_n", ["voucher_number"]),
    ],
)
def test_tables_columns_words_and_variables_are_completed(
    loaded: InteractiveShell, cell: str, expected: list[str]
) -> None:
    loaded.user_ns.update(who="x", whole=object())
    assert completed(loaded, f"%%lexoffice_sql result\n{cell}") == expected


@pytest.mark.parametrize(
    ("cell", "kinds"),
    [
        ("SELECT (paym| FROM payments", ["column", "table", "table"]),
        ("SELECT v.tot| FROM vouchers v", ["column"]),
        ("SELECT * FROM vou", ["table"]),
        ("SELECT * FROM vouchers WHERE contact_name = $wh", ["variable"]),
        ("SEL", ["keyword"]),
    ],
)
def test_what_is_proposed_says_what_it_is(loaded: InteractiveShell, cell: str, kinds: list[str]) -> None:
    loaded.user_ns["who"] = "x"
    before, _, after = f"%%lexoffice_sql\n{cell}".partition("|")
    with provisionalcompleter():
        assert [each.type for each in loaded.Completer.completions(before + after, len(before))] == kinds


@pytest.mark.parametrize(
    "cell", ["SELECT x.tot| FROM vouchers v", "SELECT 'vou", "SELECT '", "SELECT 1 -- vou", "SELECT 1 /* vou"]
)
def test_in_texts_and_comments_nothing_of_sql_is_proposed(loaded: InteractiveShell, cell: str) -> None:
    found = set(completed(loaded, f"%%lexoffice_sql\n{cell}"))
    assert not found & {*TABLES, *(column for table in TABLES.values() for column in table.columns), "SELECT", "select"}


def test_the_magics_own_line_is_completed(loaded: InteractiveShell) -> None:
    assert completed(loaded, "%%lexoffice_sql --se") == ["--session"]
    assert completed(loaded, "%%lexoffice_sql --se|\nSELECT 1") == ["--session"]
    assert completed(loaded, "%%lexoffice_sql --session lex") == ["lexoffice"]


def test_other_cells_are_left_to_ipython(loaded: InteractiveShell) -> None:
    assert "vouchers" not in completed(loaded, "x = 'SELECT * FROM vou")
    assert "vouchers" not in completed(loaded, "%%time\nvou")


# --- in a kernel ------------------------------------------------------------------------------------------------------

PUT_BOOKS = """
from decimal import Decimal
lexoffice.books.store.add("rows", [{
    "id": "v-1", "voucherType": "invoice", "voucherStatus": "open", "voucherNumber": "RE1",
    "voucherDate": "2025-03-01T00:00:00.000+01:00", "updatedDate": "2025-03-31T10:00:00.000+02:00",
    "contactName": "<img src=x>", "totalAmount": Decimal("119.10"), "currency": "EUR", "archived": False}])
"""


@pytest.mark.usefixtures("box")
def test_a_kernel_completes_answers_and_is_interrupted(new_kernel: Callable[..., Kernel]) -> None:
    kernel = new_kernel(LEXOFFICE_SANDBOX_PERSON="demo")
    kernel.run("%load_ext lexoffice_nb")
    kernel.run("import lexoffice_nb; lexoffice = lexoffice_nb.login(terminal=True)", allow_stdin=False)
    assert "Error" not in kernel.run(PUT_BOOKS)

    begun = "%%lexoffice_sql\nSELECT v.total_am"
    answer = kernel.client.complete(f"{begun}\nFROM vouchers v", len(begun), reply=True, timeout=60)
    assert answer["content"]["matches"] == ["total_amount"]

    grouped = "SELECT contact_name, sum(total_amount) AS total FROM vouchers GROUP BY ALL"
    request = kernel.ask(f"%%lexoffice_sql found\n{grouped}")
    (shown,) = [m["content"]["data"] for m in kernel.end_of(request) if m["msg_type"] == "execute_result"]
    assert "119.1" in shown["text/plain"]
    assert "&lt;img src=x&gt;" in shown["text/html"]
    assert "Decimal('119.10')" in kernel.run("found[0]['total']")

    request = kernel.ask("%%lexoffice_sql\nSELECT count(*) FROM range(100000000000) WHERE hash(range) = 1")
    time.sleep(3)  # after two seconds DuckDB would show a bar of its own
    pressed = time.monotonic()
    kernel.manager.interrupt_kernel()
    messages = kernel.end_of(request)
    assert time.monotonic() - pressed < 1.5
    assert [m["content"]["ename"] for m in messages if m["msg_type"] == "error"] == ["KeyboardInterrupt"]
    assert not [m for m in messages if m["msg_type"] in ("display_data", "stream", "comm_open")]
    assert "1" in kernel.run("%%lexoffice_sql\nSELECT 1 AS one")
    kernel.run("lexoffice.books.forget()")
