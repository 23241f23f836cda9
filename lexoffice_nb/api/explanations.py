"""What the table of endpoints says to people: signatures, docstrings and the page `docs/api.md`. Pure."""

from __future__ import annotations

import inspect
from inspect import Parameter
from typing import TYPE_CHECKING

from lexoffice_nb.api.endpoints import resources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lexoffice_nb.api.endpoints import Filter, Operation

# What the vendor's name says too little of.
NAMED_OTHERWISE = {"precedingSalesVoucherId": "preceding"}


def signature(operation: Operation) -> inspect.Signature:
    """Gives the arguments of an operation."""
    either, named = Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY
    parameters = [Parameter(name, either) for name in operation.places]
    match operation.kind:
        case "create":
            parameters.append(Parameter("body", either, default=None))
            parameters += [_flag(each) for each in operation.filters]
            parameters.append(Parameter("fields", Parameter.VAR_KEYWORD))
        case "send":
            parameters += [Parameter("body", either, default=None), Parameter("fields", Parameter.VAR_KEYWORD)]
        case "update":
            parameters.append(Parameter("changes", either, default=None))
            parameters += [Parameter("version", named), Parameter("fields", Parameter.VAR_KEYWORD)]
        case "file":
            if operation.formats:
                parameters.append(Parameter("format", either, default=operation.formats[0]))
            parameters.append(Parameter("to", named, default=None))
        case "upload":
            parameters.append(Parameter("file", either))
            parameters += [Parameter(each.name, named, default=each.default) for each in operation.filters]
        case _:
            parameters += [
                Parameter(each.name, named, default=each.default or (Parameter.empty if each.required else None))
                for each in operation.filters
            ]
    return inspect.Signature(parameters)


def _flag(each: Filter) -> Parameter:
    name = NAMED_OTHERWISE.get(each.name, each.name)
    default = Parameter.empty if each.required else False if each.kind == "flag" else None
    return Parameter(name, Parameter.KEYWORD_ONLY, default=default)


_GIVES = {
    "get": "A `Record`: a dict whose members are attributes too; numbers are `Decimal`, timestamps in Berlin's time.",
    "array": "A list of `Record`s.",
    "list": "A `Listing` of `Record`s: `len()` counts them, iterating reads them page by page.",
    "create": "A `Record` with `id`, `resourceUri`, `createdDate`, `updatedDate` and `version`; not the document.",
    "send": "What the API answers, or None.",
    "update": "A `Record` with `id`, `resourceUri`, `createdDate`, `updatedDate` and the new `version`.",
    "delete": "Nothing.",
    "file": "The content as bytes; with `to` (a folder, or a file that is not there yet) the `Path` that was written.",
    "upload": "A `Record` with the `id` of the file.",
}
# What partners write comes back whole.
_GIVES_PARTNERS = "What was written, as a `Record` with its id and its version; for a list, a list of them."
_TAKES = {
    "create": "body: the document as a dict; or leave it out and give its members by name.\n"
    "Money is a `Decimal`, a day a `date`.",
    "send": "body: what to send as a dict; or leave it out and give its members by name.",
    "update": "changes: the members to change, as a dict or by name; the others stay as they are.\n"
    "version: the version that you have read; if somebody has changed the record since, it is a `Conflict`.\n"
    "\n"
    "A record that you have read and changed goes back by itself: `update(record)`.",
    "upload": "file: the path of a {formats} file of at most 5 MB; its suffix says which it is.",
}


def explanation(operation: Operation) -> str:
    """Gives the docstring of an operation."""
    does = operation.does[0].upper() + operation.does[1:]
    lines = [f"{does} (`{operation.method} {operation.path}`).", ""]
    if operation.partner:
        lines += ["Only for clients of a partner contract.", ""]
    if operation.deprecated:
        lines += [f"Deprecated by the vendor: use `{operation.deprecated}`.", ""]
    if takes := _TAKES.get(operation.kind):
        lines += [*takes.format(formats=_either(operation.formats)).split("\n"), ""]
    if any(each.name == "finalize" for each in operation.filters):
        lines += ["finalize: True makes it final instead of a draft; that cannot be undone.", ""]
    if any(each.name == "precedingSalesVoucherId" for each in operation.filters):
        lines += ["preceding: the id of the document that it follows.", ""]
    if operation.kind == "file":
        if operation.formats:
            lines += [f"format: {_either(operation.formats)}."]
        lines += ["to: a folder, or the path of a new file; without it the content is given.", ""]
    if operation.kind in ("list", "get", "upload"):
        lines += [f"{each.name}: {each.wants}." for each in operation.filters] + [""] * bool(operation.filters)
    gives = _GIVES[operation.kind]
    if operation.partner and operation.kind in ("create", "update"):
        gives = _GIVES_PARTNERS
    lines += [f"Returns: {gives}", ""]
    scope = f"`{operation.paper_scope}` or `{operation.scope}`" if operation.paper_scope else f"`{operation.scope}`"
    lines += [f"Scope: {scope if operation.scope else 'any sign-in'}."]
    return "\n".join(lines)


def _either(formats: Sequence[str]) -> str:
    return " or ".join(filter(None, (", ".join(formats[:-1]), formats[-1]))) if formats else ""


def tables(statuses: Mapping[str, int]) -> str:
    """Gives the tables of `docs/api.md`, one for each resource.

    Args:
        statuses: with what status the sandbox answered each call, such as `invoices.get`; no entry is "not run".
    """
    lines: list[str] = []
    for resource, operations in resources().items():
        lines += [f"### {resource}", "", "| call | request | scope | notes | answered |", "|---|---|---|---|---|"]
        for each in operations.values():
            call = f"`{each.name}{signature(each)}`".replace("|", "\\|")
            request = f"`{each.method} {each.path}`"
            scopes = [f"`{scope}`" for scope in (each.paper_scope, each.scope) if scope]
            answered = str(statuses.get(each.call, "not run"))
            lines.append(f"| {call} | {request} | {' / '.join(scopes) or '–'} | {_notes(each)} | {answered} |")
        lines.append("")
    return "\n".join(lines)


def _notes(operation: Operation) -> str:
    notes = [operation.does]
    if operation.partner:
        notes.append("**partners only**")
    if operation.deprecated:
        notes.append(f"deprecated by the vendor: use `{operation.deprecated}`")
    if operation.kind == "upload":
        notes.append(f"{_either(operation.formats)}, at most 5 MB")
    notes += [f"`{each.name}`: {each.wants}".replace("|", "\\|") for each in operation.filters if _is_told(each)]
    return "; ".join(notes)


def _is_told(each: Filter) -> bool:
    return each.kind == "choice" or each.shortest > 1
