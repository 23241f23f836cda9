"""The harness itself: what the other tests of this folder take for granted."""

import json

import pytest

SLIDER = "import ipywidgets\nslider = ipywidgets.IntSlider(description='Harness', value=7)\nslider"


def widget_state(notebook) -> dict:
    return json.loads(notebook.file_text())["metadata"].get("widgets", {})


@pytest.mark.soak  # other tests of this folder fail, too, where it does not hold
def test_a_cell_runs_and_its_output_is_read(notebook):
    notebook.open(["print('one')\n1 + 1", "1 / 0"])
    notebook.run(0)
    assert notebook.output_text(0).split() == ["one", "2"]
    notebook.run(1)
    assert "ZeroDivisionError" in notebook.output_text(1)
    assert notebook.output_text(0).split() == ["one", "2"]


@pytest.mark.soak  # other tests of this folder fail, too, where it does not hold
def test_run_all_stops_at_the_first_error(notebook):
    notebook.open(["a = 1", "raise RuntimeError('stop')", "a = 2"])
    notebook.run_all()
    assert notebook.execute("a") == "1"


@pytest.mark.soak  # other tests of this folder fail, too, where it does not hold
def test_a_restarted_kernel_has_forgotten_and_runs_again(notebook):
    notebook.open(["import os\nx = 1\nos.getpid()"])
    notebook.run(0)
    before = notebook.output_text(0)
    notebook.restart_kernel()
    assert "NameError" in notebook.execute("x")
    notebook.run(0)
    assert notebook.output_text(0) != before


@pytest.mark.soak  # other tests of this folder fail, too, where it does not hold
def test_an_interrupted_cell_ends(notebook):
    notebook.open(["import time\nprint('begun')\ntime.sleep(300)"])
    notebook.run(0, wait=False)
    notebook.output(0).get_by_text("begun").wait_for()
    notebook.interrupt_kernel()
    notebook.output(0).get_by_text("KeyboardInterrupt").first.wait_for()
    notebook.wait_until_idle()


@pytest.mark.soak  # other tests of this folder fail, too, where it does not hold
def test_code_beside_the_notebook_leaves_no_trace_in_it(notebook):
    notebook.open(["40 + 2"])
    assert notebook.execute("print('beside'); 1 + 1") == "beside\n2"
    notebook.run(0)
    assert notebook.execute("len(In), Out") == "(2, {1: 42})"


@pytest.mark.soak  # other tests of this folder fail, too, where it does not hold
def test_a_widget_is_shown_and_moves_with_the_kernel(notebook):
    notebook.open([SLIDER, "slider.value = 9"])
    notebook.run(0)
    notebook.output(0).get_by_text("Harness").wait_for()
    notebook.run(1)
    notebook.output(0).get_by_text("9", exact=True).wait_for()
    assert notebook.page_errors == []


@pytest.mark.parametrize("kept", [True, pytest.param(False, marks=pytest.mark.soak)])
def test_widget_state_is_in_the_file_only_when_asked_for(notebook, kept):
    notebook.open([SLIDER], save_widget_state=kept)
    notebook.run(0)
    notebook.output(0).get_by_text("Harness").wait_for()
    notebook.save()
    assert "Harness" in notebook.file_text()
    assert ("Harness" in json.dumps(widget_state(notebook))) is kept


@pytest.mark.soak  # as above
@pytest.mark.parametrize(("theme", "locale"), [("light", "en-US"), ("dark", "de-DE")])
def test_theme_and_language_are_what_the_test_asks_for(new_notebook, theme, locale):
    notebook = new_notebook(theme=theme, locale=locale)
    notebook.open([SLIDER])
    notebook.run(0)
    notebook.output(0).get_by_text("Harness").wait_for()
    assert notebook.page.locator("body").get_attribute("data-jp-theme-light") == str(theme == "light").lower()
    assert notebook.page.evaluate("navigator.language") == locale
    assert notebook.screenshot(f"harness-{theme}").stat().st_size > 10_000


@pytest.mark.soak  # other tests of this folder fail, too, where it does not hold
def test_a_link_opens_a_page_of_its_own(notebook, jupyter):
    link = f'<a href="{jupyter.url}/api" target="_blank" rel="noopener">the API</a>'
    notebook.open([f"from IPython.display import HTML\nHTML('''{link}''')"])
    notebook.run(0)
    page = notebook.popup(notebook.output(0).get_by_role("link", name="the API"))
    assert "version" in page.locator("body").inner_text()
    assert page.evaluate("window.opener") is None


def test_the_kernel_lives_in_the_test_folder(notebook, jupyter):
    notebook.open(["1"])
    where = notebook.execute("import platformdirs; print(platformdirs.user_data_path('lexoffice_nb'))")
    assert where == str(jupyter.data / "lexoffice_nb")


def test_no_request_leaves_this_machine(notebook):
    notebook.open([SLIDER], new_page=True)
    notebook.run(0)
    notebook.output(0).get_by_text("Harness").wait_for()
    assert {url.partition("?")[0].split("/")[2] for url in notebook.urls if url.startswith("http")} == {
        notebook.jupyter.url.removeprefix("http://")
    }
