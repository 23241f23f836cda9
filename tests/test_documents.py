"""The documents and what they speak of are the same: entries of providers, keys, files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from lexoffice_nb.oauth import presets
from lexoffice_nb.oauth.login import LexofficeLogin
from lexoffice_nb.oauth.provider import Provider
from lexoffice_nb.oauth.tokens import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
GUIDE = ROOT / "docs" / "add_a_provider.md"
DOCUMENTS = [path for name in ("README.md", "CONTRIBUTING.md", "docs/*.md") for path in sorted(ROOT.glob(name))]
BLOCKS = re.findall(r"^```toml\n(.*?)^```", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
ENTRIES = {name: (block, values) for block in BLOCKS for name, values in tomllib.loads(block).items()}


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: tmp_path)
    return tmp_path / "providers.toml"


def write(own_file: Path, text: str) -> None:
    own_file.write_text(text, "utf-8")
    own_file.chmod(0o600)


def test_there_are_documents_and_entries_to_look_at() -> None:
    assert len(BLOCKS) == len(ENTRIES) >= 6
    assert {"README.md", "CONTRIBUTING.md", "add_a_provider.md", "architecture.md"} <= {p.name for p in DOCUMENTS}


@pytest.mark.parametrize("name", ENTRIES)
def test_each_entry_of_the_guide_is_a_good_one(own_file: Path, name: str) -> None:
    """Whatever has an issuer would ask it, which no test does: its entry alone is looked at."""
    block, values = ENTRIES[name]
    write(own_file, block)
    assert name in presets.names()
    found = presets.preset(name)
    assert (found.name, found.source) == (name, "user")
    assert {key: found.values[key] for key in values if key != "based_on"} == {
        key: value for key, value in values.items() if key != "based_on"
    }
    assert found.values["scopes"], "an entry to copy names its scopes"
    if "issuer" in values:
        return
    attempt = LexofficeLogin(
        values.get("client_id", "me"),
        found.values.get("redirect_uri", "http://127.0.0.1:51234/callback"),
        provider=Provider.named(name),
        client_secret=Secret("x") if "client_authentication" in found.values else None,
    )
    assert attempt.get_login_url().startswith(values["authorization_endpoint"] + "?")
    assert attempt.scopes == tuple(found.values["scopes"])


def test_the_file_to_copy_holds_the_entries_of_the_guide(own_file: Path) -> None:
    example = (GUIDE.parent / "providers.example.toml").read_text("utf-8")
    assert [part.strip() for part in re.split(r"\n(?=\[)", example)[1:]] == [block.strip() for block in BLOCKS]
    write(own_file, example)
    assert presets.names()[3:] == tuple(ENTRIES)
    for name in ENTRIES:
        assert presets.preset(name).source == "user"


def test_the_guide_lists_the_keys_that_there_are_once_each() -> None:
    table = GUIDE.read_text("utf-8").partition("### The keys\n")[2].partition("\n### ")[0]
    listed = re.findall(r"^\| `([a-z_]+)` \|", table, re.MULTILINE)
    assert sorted(listed) == sorted(presets._CHECKS)


def test_the_guide_names_the_providers_that_are_shipped() -> None:
    table = GUIDE.read_text("utf-8").partition("## 1.")[0]
    assert tuple(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE)) == presets.shipped()


def prose_of(document: Path) -> str:
    """A document without its blocks of code, whose brackets mean something else."""
    return re.sub(r"^( *)```.*?^\1```", "", document.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def links_in(document: Path) -> Iterator[str]:
    prose = re.sub(r"`[^`\n]*`", "", prose_of(document))
    yield from re.findall(r"\]\(\s*<?([^)\s>]+)", prose)
    yield from re.findall(r"^\[[^\]]+\]:\s*(\S+)", prose, re.MULTILINE)
    yield from re.findall(r"<(?:img|a)\s[^>]*?(?:src|href)=[\"']([^\"']+)", prose)


def anchor(heading: str) -> str:
    """As GitHub makes one of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_inside_the_project_leads_somewhere(document: Path) -> None:
    lost = []
    for link in links_in(document):
        if re.match(r"[a-z][a-z0-9+.-]*:", link):
            continue
        path, _, part = unquote(link).partition("#")
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or not target.is_relative_to(ROOT):
            lost.append(link)
        elif part and target.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", prose_of(target), re.MULTILINE)
            if part not in map(anchor, headings):
                lost.append(link)
    assert not lost


@pytest.mark.parametrize("document", [*DOCUMENTS, ROOT / "docs" / "providers.example.toml"], ids=lambda path: path.name)
def test_no_document_names_a_place_of_one_machine(document: Path) -> None:
    text = document.read_text("utf-8")
    places = re.findall(r"(?<![\w.~$}/-])/(?:home|root|Users|work|tmp|mnt|srv|workspace)/[\w./-]*", text)
    assert not places
    assert str(ROOT) not in text
    assert str(Path.home()) + "/" not in text
