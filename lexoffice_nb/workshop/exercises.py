"""The ten exercises as a table: name, and where the standards speak of it. Their words are in `en.py` and `de.py`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """A row of the table.

    Attributes:
        number: 1 to 10.
        name: Names the module of its solution.
        reads: Standard and section, with the section's subject.
    """

    number: int
    name: str
    reads: tuple[str, ...]


EXERCISES: dict[int, Entry] = {
    entry.number: entry
    for entry in (
        Entry(
            1,
            "stolen_code",
            (
                "RFC 7636, section 1 (Introduction: the interception attack)",
                "RFC 8252, section 8.1 (Protecting the Authorization Code)",
                "RFC 9700, section 2.1.1 (Authorization Code Grant)",
            ),
        ),
        Entry(
            2,
            "downgrade",
            ("RFC 9700, section 4.8 (PKCE Downgrade Attack)", "RFC 7636, section 4.4.1 (Error Response)"),
        ),
        Entry(
            3,
            "plain",
            (
                "RFC 7636, section 4.2 (Client Creates the Code Challenge)",
                "RFC 7636, section 7.2 (Protection against Eavesdroppers)",
                "RFC 9700, section 2.1.1 (Authorization Code Grant)",
            ),
        ),
        Entry(
            4,
            "login_csrf",
            (
                "RFC 6749, section 10.12 (Cross-Site Request Forgery)",
                "RFC 9700, section 4.7 (Cross-Site Request Forgery)",
            ),
        ),
        Entry(5, "code_injection", ("RFC 9700, section 4.5 (Authorization Code Injection)",)),
        Entry(
            6,
            "replay",
            (
                "RFC 6749, section 4.1.2 (Authorization Response: a code is used once)",
                "RFC 6749, section 10.5 (Authorization Codes)",
                "RFC 9700, section 4.3.1 (Authorization Code in Browser History)",
            ),
        ),
        Entry(
            7,
            "open_redirector",
            (
                "RFC 9700, section 4.1 (Insufficient Redirection URI Validation)",
                "RFC 9700, section 4.11 (Open Redirection)",
                "RFC 6749, section 10.15 (Open Redirectors)",
            ),
        ),
        Entry(
            8,
            "squatting",
            (
                "RFC 8252, section 7.3 (Loopback Interface Redirection)",
                "RFC 8252, section 8.3 (Loopback Redirect Considerations)",
            ),
        ),
        Entry(
            9,
            "mix_up",
            (
                "RFC 9700, section 4.4 (Mix-Up Attacks)",
                "RFC 9207, section 2.4 (Validating the Issuer Identifier)",
            ),
        ),
        Entry(
            10,
            "renewal_race",
            (
                "RFC 6749, section 6 (Refreshing an Access Token)",
                "RFC 9700, section 4.14 (Refresh Token Protection)",
            ),
        ),
    )
}
