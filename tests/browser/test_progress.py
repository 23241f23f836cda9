"""The progress of a long list as a person sees it in JupyterLab: light, dark, stopped, gone on with, done."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import Locator, expect

from lexoffice_nb.sandbox import Sandbox, SandboxSettings, process
from lexoffice_nb.sandbox.faults import Faults
from tests.browser.conftest import THEMES, Notebook
from tests.browser.signing_in import status

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SIGN_IN = """import os
os.environ.update(XDG_DATA_HOME={folder!r}, LEXOFFICE_API_KEY=open({folder!r} + "/key").read())
%load_ext lexoffice_nb
%lexoffice_login --api-key"""
LIST = """rows = iter(lexoffice.voucherlist(voucherStatus="any"))
read = [row for row in rows]"""
GO_ON = """rest = [row for row in rows]
len(rest)"""
AA = 4.5  # WCAG 2.2, 1.4.3
# The contrast of each piece of text in the line to what is painted below it; colours may be translucent.
CONTRASTS = """line => {
    if (!line.isConnected) return null; // another one has taken its place
    const rgba = colour => {
        const numbers = colour.match(/[\\d.]+/g).map(Number);
        return numbers.length > 3 ? numbers : [...numbers, 1];
    };
    const over = (top, below) => [0, 1, 2].map(i => top[i] * top[3] + below[i] * (1 - top[3]));
    const light = colour => {
        const [r, g, b] = colour.map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    let ground = [255, 255, 255];
    const above = [];
    for (let element = line; element; element = element.parentElement) above.unshift(element);
    for (const element of above) ground = over(rgba(getComputedStyle(element).backgroundColor), ground);
    return [...line.querySelectorAll('span')].map(span => {
        const lights = [light(over(rgba(getComputedStyle(span).color), ground)), light(ground)].sort((a, b) => b - a);
        return (lights[0] + 0.05) / (lights[1] + 0.05);
    });
}"""


def least_contrast(line: Locator) -> float:
    """Of a line that is drawn four times a second, and perhaps just now."""
    for _ in range(20):
        if contrasts := line.evaluate(CONTRASTS):
            return min(contrasts)
    raise AssertionError("the line is never there")


SPOKEN_BY_ITSELF = "xpath=ancestor-or-self::*[@aria-live or @role='status' or @role='alert' or @role='log']"


@pytest.fixture
def long_list(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox with a long list and slow pages, announced as the one of whoever has `tmp_path` for their data."""
    folder = tmp_path / "lexoffice_nb" / "sandbox"
    folder.mkdir(mode=0o700, parents=True)
    folder.parent.chmod(0o700)
    with Sandbox(data_dir=folder, settings=SandboxSettings(extra_vouchers=5000, faults=Faults(slow=0.3))) as box:
        address = process.SandboxAddress(box.url, os.getpid(), box.instance)
        process.write_address(folder, address)
        (tmp_path / "key").write_text(box.make_api_key())  # nobody has to click
        yield box
        process.remove_address(folder, address)


def test_a_long_list_says_how_far_it_is_and_goes_on_after_a_stop(
    notebook: Notebook, long_list: Sandbox, tmp_path: Path
) -> None:
    notebook.open([SIGN_IN.format(folder=str(tmp_path)), LIST, GO_ON])
    notebook.run(0)
    expect(status(notebook)).to_contain_text("Signed in")
    notebook.run(1, wait=False)
    bar = notebook.output(1).get_by_role("progressbar", name="Rows read")
    expect(bar).to_be_visible()
    expect(notebook.output(1)).to_contain_text(re.compile(r"\d{3} of 5,\d{3} rows · about \d+ s left"))
    line = bar.locator("xpath=..")
    expect(bar).to_have_attribute("aria-valuetext", re.compile("of 5,"))
    assert bar.locator(SPOKEN_BY_ITSELF).count() == 0
    assert least_contrast(line) >= AA
    notebook.screenshot("progress-light", notebook.cell(1))
    try:
        notebook.page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES["dark"])
        expect(notebook.page.locator("body")).to_have_attribute("data-jp-theme-light", "false")
        assert least_contrast(line) >= AA
        notebook.screenshot("progress-dark", notebook.cell(1))
        notebook.page.locator("[data-jp-item-name=interrupt]").first.click()
        expect(notebook.output(1)).to_contain_text(re.compile(r"of 5,\d{3} rows · stopped"))
        expect(bar).to_have_count(0)
        notebook.screenshot("progress-dark-stopped", notebook.output(1).locator(".jp-OutputArea-child").first)
    finally:
        notebook.page.evaluate(
            "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", THEMES["light"]
        )
    long_list.faults.slow = 0.1
    notebook.run(2)
    notebook.screenshot("progress-done", notebook.cell(2))
    counted = re.search(r"(\d),(\d{3}) rows · read in \d+ s", notebook.output_text(2))
    assert counted, notebook.output_text(2)
    stopped_at = re.search(r"([\d,]+) of ", notebook.output_text(1))
    assert stopped_at
    # What was given before the stop was thrown away with its list; all the rest came with the same iterator.
    rest = int(counted[1] + counted[2]) - int(stopped_at[1].replace(",", ""))
    assert f"\n{rest}" in notebook.output_text(2)
    assert notebook.page_errors == []
