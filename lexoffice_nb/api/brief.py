"""A request that has an end and a size: for what a sign-in waits for, from a server that may mean ill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import requests

from lexoffice_nb.errors import ServerTrouble
from lexoffice_nb.oauth.deadline import Deadline, DeadlineAdapter
from lexoffice_nb.oauth.transport import Origin, read_whole
from lexoffice_nb.texts import from_server

if TYPE_CHECKING:
    from collections.abc import Mapping


class BriefAdapter(DeadlineAdapter):
    """Reads every answer whole, those with redirects and errors as well, within one deadline and one limit."""

    def __init__(self, deadline: Deadline, limit: int) -> None:
        super().__init__(deadline)
        self._limit = limit

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Sends one request, as `requests.adapters.HTTPAdapter.send` does.

        Raises:
            ServerTrouble: if the answer is too large.
            requests.exceptions.RequestException: if there is no whole answer in time.
        """
        body, answered = None, False
        try:
            response = super().send(request, True, timeout, verify, cert, proxies)
            answered = True
            with response:
                body = read_whole(response, self._limit)
        except OSError as error:
            if not self._deadline.over and not isinstance(error, TimeoutError):
                if not answered:
                    raise
                raise requests.exceptions.ChunkedEncodingError from None
        if self._deadline.over:
            raise requests.exceptions.ReadTimeout  # what was cut off can look whole
        if body is None:
            host = from_server(Origin.of(request.url or "").host)
            raise ServerTrouble("too_large", host=host, limit=self._limit)
        whole: Any = response
        whole._content, whole._content_consumed = body, True
        return response
