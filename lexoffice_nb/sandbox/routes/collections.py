"""Things that partners may list, read, create, change and delete, all in the same way."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from lexoffice_nb.sandbox import shapes, totals
from lexoffice_nb.sandbox.calls import Reply
from lexoffice_nb.sandbox.problems import ApiProblem, not_found
from lexoffice_nb.sandbox.validation import Rule, check, needed, record, whole

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lexoffice_nb.sandbox.calls import Call


@dataclass(frozen=True)
class Collection:
    """One such kind of things.

    Attributes:
        path: Where it is, below `/v1`.
        key: The name of its ID.
        version: The name of its version, which a change has to name; a stale one is 409.
        fields: The rules of its fields.
    """

    path: str
    key: str
    version: str
    fields: Mapping[str, Rule]

    def listed(self, call: Call) -> list[dict[str, Any]]:
        """All of them."""
        return call.books.written(self.path)

    def read(self, call: Call) -> dict[str, Any]:
        """`GET` of the one that the path names."""
        return self.found(call, call.id)

    def found(self, call: Call, key: str) -> dict[str, Any]:
        """The one with this ID.

        Raises:
            ApiProblem: 404, if there is none.
        """
        found = call.books.find(self.path, key, call.now.date())
        if found is None:
            raise not_found(self.key.removesuffix("Id"), key)
        return found

    def create(self, call: Call) -> Reply:
        """`POST`: the new one."""
        new = self.add(call, call.json())
        return Reply(new, 201, {"Location": call.address(self.path, new[self.key])})

    def add(self, call: Call, sent: Any, **more: Any) -> dict[str, Any]:
        """A new one of what was sent."""
        body = check(record(self.fields), sent)
        key, now = str(uuid.uuid4()), shapes.timestamp(call.now)
        new = {self.key: key, "createdDate": now, "lastModifiedDate": now, **more, **_exact(body), self.version: 0}
        call.books.keep(self.path, new, key)
        return new

    def change(self, call: Call) -> dict[str, Any]:
        """`PUT`: the changed one."""
        before = self.found(call, call.id)
        body = check(record({**self.fields, self.version: needed(whole())}), call.json())
        if body.pop(self.version) != before[self.version]:
            raise ApiProblem(409, "The version is not the current one.", self.version)
        after = {**before, **_exact(body), "lastModifiedDate": shapes.timestamp(call.now)}
        after[self.version] = before[self.version] + 1
        call.books.keep(self.path, after, after[self.key])
        return after

    def delete(self, call: Call) -> Reply:
        """`DELETE`."""
        call.books.forget(self.path, self.found(call, call.id)[self.key])
        return Reply(status=204)


def _exact(body: dict[str, Any]) -> dict[str, Any]:
    return {name: totals.plain(each) if isinstance(each, Decimal) else each for name, each in body.items()}
