"""The options of a sandbox on the command line: the same ones for `lexoffice-nb sandbox` and for its process."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lexoffice_nb.sandbox.settings import SandboxSettings

USAGE = "%(prog)s [options]"  # the whole list would push what is wrong out of sight; it is in the help
_MOST_VOUCHERS = 5_000_000
_MOST_RATE = 10_000
_DIGITS = 18


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options, with their help."""
    parser.add_argument(
        "--port", type=_port, default=0, help="port to listen on, 1 to 65535 (default: its old one, or a free one)"
    )
    parser.add_argument(
        "--rate-limit",
        type=_rate,
        metavar="N",
        help="answer 429 to more than N API requests a second for one company; the vendor allows 2 (default: no limit)",
    )
    parser.add_argument(
        "--vouchers", type=_vouchers, metavar="N", help="put N more vouchers into the books (default: none)"
    )
    parser.add_argument("--seed", type=_seed, metavar="N", help="draw other books, and other faults (default: 1)")
    parser.add_argument(
        "--faults",
        type=_share,
        metavar="SHARE",
        help="let that share of API requests go wrong, from 0 to 1: of five, two meet a 500, and one each a 504, a cut"
        " connection and a 429 (default: 0)",
    )


def described(chosen: argparse.Namespace) -> str:
    """What was chosen beside the port, as it is typed; empty for a sandbox as usual. Equal choices, equal texts."""
    given = {
        "--rate-limit": chosen.rate_limit,
        "--vouchers": chosen.vouchers or None,
        "--seed": None if chosen.seed == 1 else chosen.seed,
        "--faults": chosen.faults or None,
    }
    return " ".join(f"{name} {_plain(value)}" for name, value in given.items() if value is not None)


WORKSHOP = "--workshop"
_DESCRIBED = re.compile(r"(--workshop( |$))?(--[a-z-]{1,12} [0-9][0-9.]{0,28}( |$)){0,8}")


def is_described(text: str) -> bool:
    """Whether a text can have come from `described`: it is read from a file, and shown to a person."""
    return _DESCRIBED.fullmatch(text) is not None and not text.endswith(" ")


def settings_of(chosen: argparse.Namespace) -> SandboxSettings:
    """The settings that were chosen."""
    from lexoffice_nb.sandbox.faults import Faults
    from lexoffice_nb.sandbox.settings import SandboxSettings

    seed = 1 if chosen.seed is None else chosen.seed
    return SandboxSettings(
        rate_limit=chosen.rate_limit,
        extra_vouchers=chosen.vouchers or 0,
        seed=seed,
        faults=Faults.storm(chosen.faults or 0.0, seed),
    )


def arguments_of(chosen: argparse.Namespace) -> list[str]:
    """What was chosen, as arguments again."""
    port = ["--port", str(chosen.port)] if chosen.port else []
    return [*port, *described(chosen).split()]


def _plain(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")  # never with an exponent, which no option takes


def _port(value: str) -> int:
    if value.isascii() and value.isdigit() and 0 < int(value[:6]) < 65536:
        return int(value)
    raise _refused(value, "is no port: choose a number from 1 to 65535")


def _vouchers(value: str) -> int:
    if (number := _whole(value)) is not None and number <= _MOST_VOUCHERS:
        return number
    raise _refused(value, f"is no number of vouchers: choose one from 0 to {_MOST_VOUCHERS}")


def _seed(value: str) -> int:
    if (number := _whole(value)) is not None:
        return number
    raise _refused(value, f"is no seed: choose a whole number of up to {_DIGITS} digits")


def _rate(value: str) -> float:
    if (number := _decimal(value)) is not None and 0.001 <= number <= _MOST_RATE:
        return number
    raise _refused(value, f"is no rate: choose a number of requests a second, from 0.001 to {_MOST_RATE}")


def _share(value: str) -> float:
    if (number := _decimal(value)) is not None and number <= 1:
        return number
    raise _refused(value, "is no share: choose a number from 0 to 1, such as 0.25")


def _whole(value: str) -> int | None:
    return int(value) if value.isascii() and value.isdigit() and len(value) <= _DIGITS else None


def _decimal(value: str) -> float | None:
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value, re.ASCII) is None:
        return None
    return float(value)


def _refused(value: str, why: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{value[:20]!r} {why}")
