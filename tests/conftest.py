"""What holds for all tests."""

import gc
import signal
import sys
import threading
import warnings
from collections.abc import Iterator

import pytest

pytest_plugins = ["tests.conformance.plugin", "tests.schedule"]

# A shell starts what it runs in the background with Ctrl-C ignored, and programs inherit that. Here it is tested.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--api-page", metavar="PATH", help="write docs/api.md with the tables of this run to PATH")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leaves what is there now to no garbage collection: ten thousand tests make each of them slow."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """Gives it back: what is kept to the end is a leak to DuckDB, which says so."""
    gc.unfreeze()


@pytest.fixture
def swept() -> Iterator[None]:
    """For tests that interrupt at any instant: between two lines, even a `with` cannot close what it has just opened.

    What such an interrupt leaves ends by itself, at its deadline or with the next garbage collection. It is ended here,
    so that it is not taken for another test's.
    """
    yield
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer) and thread.name == "lexoffice-nb deadline":
            thread.cancel()
            thread.join(5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="session", autouse=True)
def _own_state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where processes share the pace of an account: not with those of the person who runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def _no_memory_of_providers() -> Iterator[None]:
    """Descriptions of providers are kept for the session, and a port may be another test's next time."""
    yield
    if module := sys.modules.get("lexoffice_nb.oauth.metadata"):
        module.forget_metadata()
