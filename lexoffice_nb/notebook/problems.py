"""Catches what goes wrong where nobody could: in threads and in messages of a view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexoffice_nb.errors import InternalError, LexofficeError, LoginError

if TYPE_CHECKING:
    from collections.abc import Callable


def problem_of(work: Callable[[], object]) -> LexofficeError | None:
    """Gives the error that some work ends with, or None.

    What is not an error of ours is named by its kind and place alone: its text may hold anything.
    """
    try:
        work()
    except LexofficeError as error:
        return error
    except InternalError as error:
        return LoginError("internal", where=str(error))
    except Exception as error:  # noqa: BLE001 - nobody would see it in a thread
        return LoginError("internal", where=type(error).__name__)
    return None
