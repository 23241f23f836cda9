"""Connections that print nothing, whatever `http.client.HTTPConnection.debuglevel` is set to.

Setting it is the usual advice for debugging; it prints each header and body, here codes, verifiers and bearers, into
the cell that is running.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter

if TYPE_CHECKING:
    import requests


@functools.cache
def quiet(kind: type[Any]) -> type[Any]:
    """Gives the quiet kind of a kind of connections."""
    if issubclass(kind, _Quiet):
        return kind
    return type(kind.__name__, (_Quiet, kind), {})


class _Quiet:
    """Goes before the standard library's own class, whose level is the one that is set."""

    debuglevel = 0


class QuietAdapter(HTTPAdapter):
    """An adapter whose connections, to the server or to a proxy, print nothing."""

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Gives the pool of connections for a request."""
        pool: Any = super().get_connection_with_tls_context(request, verify, proxies, cert)
        pool.ConnectionCls = quiet(pool.ConnectionCls)
        return pool


def make_quiet(adapter: Any) -> None:
    """Makes an adapter of anybody's quiet; one that is none of requests' own kind is left as it is."""
    kind = type(adapter)
    if issubclass(kind, HTTPAdapter) and not issubclass(kind, QuietAdapter):
        adapter.__class__ = type(kind.__name__, (QuietAdapter, kind), {})
