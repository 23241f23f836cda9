"""The invented people who can sign in, and the organisations they work for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Organisation:
    """A company whose books the sandbox keeps."""

    key: str
    name: str
    small_business: bool = False


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in; there are no passwords."""

    id: str
    subject: str
    name: str
    email: str
    organisation: Organisation


PEOPLE: dict[str, Person] = {
    "demo": Person(
        id="demo",
        subject="5c1f8d0e-7c43-4a5e-9d0b-1f6c2a9e4b71",
        name="Erika Muster",
        email="erika@muster-soehne.example",
        organisation=Organisation("demo", "Muster & Söhne GmbH"),
    ),
    "kanzlei": Person(
        id="kanzlei",
        subject="b24e6f3a-90d2-4c17-8a55-7de0c3b1f682",
        name="Jonas Beispiel",
        email="jonas@kanzlei-beispiel.example",
        organisation=Organisation("kanzlei", "Steuerkanzlei Beispiel PartG mbB", small_business=True),
    ),
}


def colleagues(person_id: str) -> list[str]:
    """Everybody of the same organisation, oneself included."""
    organisation = PEOPLE[person_id].organisation
    return [person.id for person in PEOPLE.values() if person.organisation == organisation]
