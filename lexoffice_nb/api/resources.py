"""`Resource`: the one class that serves every endpoint of the table, as `session.invoices.get(id)`.

What it has is what the table has: methods, their arguments, completion and help all come from there.
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexoffice_nb.api import downloads
from lexoffice_nb.api.arguments import body_of, checked, path_of, query_of, refuse_misspelt_options
from lexoffice_nb.api.endpoints import resources
from lexoffice_nb.api.explanations import NAMED_OTHERWISE, explanation, signature
from lexoffice_nb.api.listing import Listing
from lexoffice_nb.api.records import read
from lexoffice_nb.errors import Conflict, Invalid, NoMember, ServerTrouble, WrongCall
from lexoffice_nb.texts import from_server

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
        if main := self._main():
            method = getattr(self, main.name)
            self.__doc__ += f"\n\n{name}(…) is {name}.{main.name}(…):\n\n{method.__doc__}"
            # For help and completion, which look at these; a call goes to the class's own all the same.
            self.__signature__ = method.__signature__
            setattr(self, "__call__", _undocumented(method))  # noqa: B010 - mypy has no word for it

    # Names that are there are found before this is asked.
    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # Python and front ends ask for these
            raise AttributeError(name)
        raise NoMember("resource_lacks", resource=self._name, name=from_server(name, 60), there=self._there())

    def __call__(self, *args: Any, **options: Any) -> Any:
        """Does what there is most to do: `session.voucherlist(…)` is `session.voucherlist.list(…)`.

        Raises:
            WrongCall: if the resource has neither a list nor one thing alone.
        """
        if main := self._main():
            return getattr(self, main.name)(*args, **options)
        raise WrongCall("resource_not_callable", resource=self._name, there=self._there())

    def _main(self) -> Operation | None:
        operations = resources()[self._name]
        there = (operations[name] for name in ("list", "get") if name in operations)
        return next((each for each in there if not each.places), None)

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
        refuse_misspelt_options(operation, fields)
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

    def _replace(self, operation: Operation, path: str, record: dict[str, Any], fields: Mapping[str, Any]) -> Any:
        done = self._send(operation, path, json={**record, **fields})
        if isinstance(done, dict) and operation.version in done:
            # What is there now is what the record says, so it can be changed and written again.
            record |= {**fields, operation.version: done[operation.version]}
        return done

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
        if not isinstance(file, (str, os.PathLike)):
            raise WrongCall("upload_no_path", kind=type(file).__name__)
        source = Path(file).expanduser()
        name = from_server(source.name, 80)
        suffix = source.suffix.lower().lstrip(".").replace("jpeg", "jpg")
        if suffix not in operation.formats:
            raise Invalid("upload_format", name=name, there=", ".join(operation.formats))
        try:
            with source.open("rb") as opened:
                content = opened.read(LARGEST_UPLOAD + 1)  # its size may say less, as a device's does
        except OSError as error:
            raise Invalid("upload_unreadable", name=name, reason=error.strerror or type(error).__name__) from None
        if len(content) > LARGEST_UPLOAD:
            raise Invalid("upload_too_large", name=name, limit=LARGEST_UPLOAD // 2**20)
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


def _undocumented(method: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a method without its help, which IPython's `?` would show a second time."""

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> Any:
        return method(*args, **options)

    call.__doc__ = None
    return call


def _method(resource: Resource, operation: Operation) -> Callable[..., Any]:
    """Makes the method of an operation, with the arguments and the help that the table gives it."""
    serve = functools.partial(_KINDS[operation.kind], resource, operation)
    arguments = signature(operation)

    by_place = [each for each in arguments.parameters.values() if each.kind is each.POSITIONAL_OR_KEYWORD]

    def method(*args: Any, **options: Any) -> Any:
        try:
            if operation.kind in ("file", "array", "delete"):  # the others say in their own words what is wrong
                arguments.bind(*args, **options)
            fits = len(args) <= len(by_place)
        except TypeError:
            fits = False
        if not fits:
            raise WrongCall("resource_call", call=operation.call, arguments=str(arguments))
        if operation.kind == "update" and args and isinstance(args[-1], dict) and len(args) == len(operation.places):
            record = args[-1]  # the record itself, changed: it knows its id and its version
            path = path_of(operation, (*args[:-1], record.get(operation.key)))
            return resource._replace(operation, path, record, options)
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
