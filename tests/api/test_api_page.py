"""What `docs/api.md` and the README say of the API: each example runs, one after the other, against a sandbox."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lexoffice_nb import errors
from lexoffice_nb.api.endpoints import OPERATIONS, resources
from lexoffice_nb.api.explanations import tables
from lexoffice_nb.errors import ApiError, Invalid

if TYPE_CHECKING:
    from collections.abc import Callable

    from lexoffice_nb import LexofficeSession
    from lexoffice_nb.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
ALL_SCOPES = "openid profile invoice.read invoice.write contact.read"
ID = "e9066f04-8cc7-4616-93f8-ac9ecc8479c8"


def examples(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def lexoffice(box: Sandbox, signed_in: Callable[..., LexofficeSession]) -> LexofficeSession:
    return signed_in(box, scopes=ALL_SCOPES)


@pytest.fixture
def run(
    lexoffice: LexofficeSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], dict[str, Any]]:
    """Runs the examples of a text as the cells of one notebook; gives its variables."""
    monkeypatch.chdir(tmp_path)

    def run(text: str) -> dict[str, Any]:
        names: dict[str, Any] = {"lexoffice": lexoffice}
        for example in examples(text):
            exec(compile(example, "<example>", "exec"), names)
        return names

    return run


def test_the_examples_of_the_page_run_and_do_what_it_says(
    run: Callable[[str], dict[str, Any]], lexoffice: LexofficeSession, capsys: pytest.CaptureFixture[str]
) -> None:
    names = run(PAGE)
    assert isinstance(names["invoice"].totalPrice.totalGrossAmount, Decimal)
    assert len(names["rows"]) > 0
    assert names["total"] > 0
    assert names["named"]
    written = lexoffice.invoices.get(names["draft"].id)
    assert (written.voucherStatus, str(written.totalPrice.totalGrossAmount)) == ("draft", "191.59")
    assert lexoffice.contacts.get(names["made"].id).note == "Pays late."
    assert names["path"].read_bytes() == names["content"]
    assert lexoffice.files.get(names["receipt"].id) == names["content"]
    printed = capsys.readouterr().out
    assert "is version 3 now, and not 1" in printed
    assert printed.splitlines()[-1].startswith("404 ")


def test_the_example_of_the_readme_runs(run: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    section = README.partition("\n## The API\n")[2].partition("\n## ")[0]
    (example,) = examples(section)
    assert len([line for line in example.splitlines() if line]) <= 5
    names = run(section)
    assert names["owed"] > 0
    assert [path.suffix for path in tmp_path.iterdir() if path.is_file()] == [".pdf"]


def test_the_errors_that_the_page_names_are_all_that_there_are() -> None:
    prose = PAGE.partition("## Errors")[2].partition("## Every call")[0]
    named = set(re.findall(r"`([A-Z]\w+)`", re.sub(r"```.*?```", "", prose, flags=re.DOTALL)))
    there = {each.__name__ for each in vars(errors).values() if isinstance(each, type) and issubclass(each, ApiError)}
    assert named == there


def test_the_tables_have_each_row_once_and_say_what_was_not_run() -> None:
    made = tables({"invoices.get": 200})
    assert re.findall(r"^### (\w+)$", made, re.MULTILINE) == list(resources())
    rows = re.findall(r"^\| `(\w+)\(.*\| `([A-Z]+ /v1/\S+)` \|.*\| ([^|]+) \|$", made, re.MULTILINE)
    assert [row[:2] for row in rows] == [(each.name, f"{each.method} {each.path}") for each in OPERATIONS]
    assert [row[2] for row in rows].count("not run") == len(OPERATIONS) - 1
    assert all(line.count("|") - line.count("\\|") == 6 for line in made.splitlines() if line.startswith("|"))


def test_the_vendors_name_of_a_flag_is_as_good_as_ours(elsewhere: LexofficeSession, server: Any, answer: Any) -> None:
    server.answers["/v1/dunnings"] = [answer.of({"id": ID, "version": 1}, 201)]
    elsewhere.dunnings.create(title="Mahnung", precedingSalesVoucherId=ID)
    elsewhere.dunnings.create(title="Mahnung", preceding=ID)
    assert [seen.path for seen in server.seen] == [f"/v1/dunnings?precedingSalesVoucherId={ID}"] * 2
    assert {seen.body for seen in server.seen} == {b'{"title":"Mahnung"}'}


def test_a_body_can_be_given_by_its_name(elsewhere: LexofficeSession, server: Any, answer: Any) -> None:
    """As the signature shows it."""
    server.answers["/v1/articles"] = [answer.of({"id": ID, "version": 0}, 201)]
    server.answers[f"/v1/articles/{ID}"] = [answer.of({"id": ID, "version": 0})]
    elsewhere.articles.create(body={"title": "Beratung"})
    elsewhere.articles.update(ID, changes={"title": "Rat"}, version=0)
    assert server.seen[0].body == b'{"title":"Beratung"}'
    assert b'"title":"Rat"' in server.seen[-1].body
    assert b"changes" not in server.seen[-1].body


def test_a_change_without_a_version_is_refused_in_two_lines(elsewhere: LexofficeSession, server: Any) -> None:
    with pytest.raises(Invalid, match=r"articles.update needs version. Nothing was sent.") as caught:
        elsewhere.articles.update(ID, title="Rat")
    assert len(caught.value._render_traceback_()) == 2
    assert not server.seen


def test_where_a_file_goes_is_given_by_name_as_the_signature_shows_it(elsewhere: LexofficeSession, server: Any) -> None:
    for call in (elsewhere.files.get, elsewhere.invoices.file):
        with pytest.raises(TypeError, match=f"Call it as .*{call.__name__}.*goes by name"):
            call(ID, *("pdf", "folder")[call.__name__ == "get" :])
    assert not server.seen


@pytest.mark.parametrize("name", ["partner only", "paper and partner", "any"])
def test_help_names_the_scopes_that_do_cover_it(name: str, elsewhere: LexofficeSession) -> None:
    """What is for partners only is covered by no scope of the paper's."""
    method, words = {
        "partner only": (elsewhere.invoices.send_mail, "Scope: `vouchers.sendmail`."),
        "paper and partner": (elsewhere.contacts.update, "Scope: `invoice.write` or `contacts.write`."),
        "any": (elsewhere.countries.list, "Scope: any sign-in."),
    }[name]
    assert words in (method.__doc__ or "")
