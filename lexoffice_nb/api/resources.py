"""`Resource`: the one class that serves every endpoint of the table, as `session.invoices.get(id)`.

What it has is what the table has: methods, their arguments, completion and help all come from there.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexoffice_nb.api import downloads
from lexoffice_nb.api.arguments import body_of, checked, path_of, query_of
from lexoffice_nb.api.endpoints import resources
from lexoffice_nb.api.explanations import NAMED_OTHERWISE, explanation, signature
from lexoffice_nb.api.listing import Listing
from lexoffice_nb.api.records import NoMember, read
from lexoffice_nb.errors import Conflict, Invalid, ServerTrouble
from lexoffice_nb.texts import from_server, text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lexoffice_nb.api.client import ApiSession
    from lexoffice_nb.api.endpoints import Operation

LARGEST_UPLOAD = 5 * 1024 * 1024
_ACCEPT = {"pdf": "application/pdf", "xml": "application/xml"}
_MEDIA_TYPES = {"pdf": "application/pdf", "jpg": "image/jpeg", "png": "image/png", "xml": "application/xml"}


class Resource:
    """The operations of one resource of the API, e.g. `session.invoices`; `help(session.invoices.get)` explains one."""

    def __init__(self, session: ApiSession, name: str) -> None:
        self._session = session
        self._name = name
        for operation in resources()[name].values():
            setattr(self, operation.name, _method(self, operation))
        self.__doc__ = "\n".join(f"{each.name}: {each.does}" for each in resources()[name].values())

    # Names that are there are found before this is asked.
    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Python and front ends ask for these
            raise AttributeError(name)
        raise NoMember("resource_lacks", resource=self._name, name=from_server(name, 60), there=self._there())

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Does what there is most to do: `session.voucherlist(…)` is `session.voucherlist.list(…)`.

        Raises:
            TypeError: if the resource has neither a list nor one thing alone.
        """
        operations = resources()[self._name]
        for name in ("list", "get"):
            if name in operations and not operations[name].places:
                return getattr(self, name)(*args, **options)
        raise TypeError(text("resource.not_callable", "en", resource=self._name, there=self._there()))

    def _there(self) -> str:
        return ", ".join(resources()[self._name])

    def __repr__(self) -> str:
        return f"<{self._name}: {self._there()}>"

    def __dir__(self) -> list[str]:
        return list(resources()[self._name])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        width = max(map(len, resources()[self._name])) + 2
        printer.text(self._name)
        for operation in resources()[self._name].values():
            partner = " (partner contract only)" if operation.partner else ""
            instead = f" (deprecated: use {operation.deprecated})" if operation.deprecated else ""
            printer.break_()
            printer.text(f"  {operation.name:{width}}{operation.does}{partner}{instead}")

    # One function for each kind of operation.

    def _get(self, operation: Operation, path: str, **filters: Any) -> Any:
        return self._send(operation, path + query_of(operation, filters))

    def _array(self, operation: Operation, path: str) -> Any:
        found = self._send(operation, path)
        # Some endpoints put their one page into an envelope.
        rows = found.get("content") if isinstance(found, dict) else found
        if not isinstance(rows, list):
            raise ServerTrouble("listing_no_page", path=path)
        return rows

    def _list(self, operation: Operation, path: str, **filters: Any) -> Listing:
        return Listing(self._session, operation, path, checked(operation, filters))

    def _create(self, operation: Operation, path: str, /, body: Any = None, **fields: Any) -> Any:
        flags = {}
        for flag in operation.filters:
            vendors = fields.pop(flag.name, None)  # its own name is as good as ours
            flags[flag.name] = fields.pop(NAMED_OTHERWISE.get(flag.name, flag.name), vendors)
        if flags.get("finalize") is False:
            del flags["finalize"]  # a draft is what the vendor makes where nobody asks
        return self._send(operation, path + query_of(operation, flags), json=body_of(body, fields))

    def _body_sent(self, operation: Operation, path: str, /, body: Any = None, **fields: Any) -> Any:
        return self._send(operation, path, json=body_of(body, fields))

    def _update(
        self, operation: Operation, path: str, /, changes: Any = None, *, version: int | None = None, **fields: Any
    ) -> Any:
        """Reads the record, changes these members and writes it back: what is left out of a PUT would be lost."""
        if version is None:
            raise Invalid("resource_required", call=operation.call, name="version")
        current = self._send(operation, path, method="GET")
        guard = operation.version
        if not isinstance(current, dict) or current.get(guard) != version:
            there = current.get(guard) if isinstance(current, dict) else None
            raise Conflict("api_version", path=path, version=version, there=there)
        whole = {**current, **body_of(changes, fields), guard: version}
        return self._send(operation, path, json=whole)

    def _replace(self, operation: Operation, path: str, record: Mapping[str, Any]) -> Any:
        return self._send(operation, path, json=dict(record))

    def _delete(self, operation: Operation, path: str) -> None:
        self._send(operation, path)

    def _file(self, operation: Operation, path: str, /, format: str = "", *, to: str | Path | None = None) -> Any:  # noqa: A002
        format = format or next(iter(operation.formats), "")  # noqa: A001 - it is what people call it
        if format not in (operation.formats or ("",)):
            raise Invalid("resource_format", format=str(format)[:20], there=", ".join(operation.formats) or "-")
        if to is not None:
            downloads.check(to, format)  # before anything is asked for
        # Uncompressed, an answer that was cut off is shorter than it says; compressed, nobody may notice.
        headers = {"Accept": _ACCEPT.get(format, "*/*"), "Accept-Encoding": "identity"}
        with self._session.get(path, headers=headers, stream=True) as response:
            if to is None:
                return downloads.content(response, format)
            return downloads.save(response, to, format, f"{self._name}-{path.split('/')[3]}")

    def _upload(self, operation: Operation, path: str, file: str | Path, **fields: Any) -> Any:
        source = Path(file).expanduser()
        suffix = source.suffix.lower().lstrip(".").replace("jpeg", "jpg")
        if suffix not in operation.formats:
            raise Invalid("upload_format", name=source.name[:80], there=", ".join(operation.formats))
        try:
            content = source.read_bytes() if source.stat().st_size <= LARGEST_UPLOAD else None
        except OSError as error:
            raise Invalid(
                "upload_unreadable", name=source.name[:80], reason=error.strerror or type(error).__name__
            ) from None
        if content is None:
            raise Invalid("upload_too_large", name=source.name[:80], limit=LARGEST_UPLOAD // 2**20)
        form = checked(operation, fields)
        return self._send(operation, path, files={"file": (source.name, content, _MEDIA_TYPES[suffix])}, data=form)

    def _send(self, operation: Operation, path: str, *, method: str = "", **options: Any) -> Any:
        response = self._session.request(method or operation.method, path, **options)
        return read(response.json()) if response.content else None


_KINDS: Mapping[str, Callable[..., Any]] = {
    "get": Resource._get,
    "array": Resource._array,
    "list": Resource._list,
    "create": Resource._create,
    "send": Resource._body_sent,
    "update": Resource._update,
    "delete": Resource._delete,
    "file": Resource._file,
    "upload": Resource._upload,
}


def _method(resource: Resource, operation: Operation) -> Callable[..., Any]:
    """Makes the method of an operation, with the arguments and the help that the table gives it."""
    serve = functools.partial(_KINDS[operation.kind], resource, operation)
    arguments = signature(operation)

    def method(*args: Any, **options: Any) -> Any:
        if operation.kind in ("file", "array", "delete"):  # the others say in their own words what is wrong
            arguments.bind(*args, **options)
        if operation.kind == "update" and args and isinstance(args[-1], dict) and len(args) == len(operation.places):
            record = args[-1]  # the record itself, changed: it knows its id and its version
            path = path_of(operation, (*args[:-1], record.get(operation.key)))
            return resource._replace(operation, path, {**record, **options})
        places, others = args[: len(operation.places)], args[len(operation.places) :]
        if len(places) < len(operation.places):
            named = [options.pop(name) for name in operation.places[len(places) :] if name in options]
            places = (*places, *named)
        return serve(path_of(operation, places), *others, **options)

    method.__name__ = operation.name
    method.__qualname__ = f"{operation.resource}.{operation.name}"
    method.__doc__ = explanation(operation)
    method.__signature__ = arguments  # type: ignore[attr-defined]
    return method
