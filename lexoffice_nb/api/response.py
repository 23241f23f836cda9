"""`ApiResponse`: what the API answered, with exact numbers, shown as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from lexoffice_nb.api import exact_json
from lexoffice_nb.api.refusals import path_of
from lexoffice_nb.api.table import records_html, records_text
from lexoffice_nb.errors import ApiError, ServerTrouble

if TYPE_CHECKING:
    from collections.abc import Callable


class ApiResponse(requests.Response):
    """A response whose numbers are exact, and that a notebook shows as a table."""

    def json(self, **options: Any) -> Any:
        """Parses the body; every number becomes a `decimal.Decimal`, so that money stays exact.

        Raises:
            ServerTrouble: if the body is not JSON, or has a number longer than any amount.
        """
        try:
            return exact_json.decode(self.content, **options)
        except exact_json.AmountTooLong:
            code = "api_amount"
        except ValueError:
            code = "api_not_json"
        raise ServerTrouble(code, status=self.status_code, path=path_of(self.url))

    def _repr_html_(self) -> str | None:
        """Shows a record, or a page of them, as a table in a notebook; None where the body is something else."""
        return self._shown_by(records_html)

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """Shows the same as plain text in a terminal."""
        shown = self._shown_by(records_text)
        for number, line in enumerate((shown or repr(self)).split("\n")):
            if number:
                printer.break_()
            printer.text(line)

    def _shown_by(self, show: Callable[[Any], str | None]) -> str | None:
        # Whoever asked for a stream wants to read it; a front end that shows it must not be first.
        if vars(self)["_content"] is False:
            return None
        try:
            return show(self.json())
        except (ApiError, RuntimeError, requests.exceptions.RequestException):  # a stream that was read already
            return None
