"""Integer cents: rounding, and the tax of a column of amounts."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Tax types under which an invoice bears no tax, whatever is sold.
TAX_FREE = frozenset({"vatfree", "intraCommunitySupply", "constructionService13b"})


@dataclass(frozen=True)
class RateSum:
    """What one tax rate adds to a voucher, in cents."""

    rate: int
    net: int
    tax: int

    @property
    def gross(self) -> int:
        """Net and tax together."""
        return self.net + self.tax


def half_up(numerator: int, denominator: int) -> int:
    """A quotient rounded half up, for amounts that are not negative."""
    return (2 * numerator + denominator) // (2 * denominator)


def sum_rates(amounts: Iterable[tuple[int, int]], tax_type: str) -> tuple[RateSum, ...]:
    """Net and tax per rate, rounded once on the sum of the column and not line by line.

    Args:
        amounts: Rate and amount of each line; the amount is gross for the tax type `gross`, else net.
        tax_type: The vendor's tax type.
    """
    columns: dict[int, int] = defaultdict(int)
    for rate, amount in amounts:
        columns[0 if tax_type in TAX_FREE else rate] += amount
    if tax_type != "gross":
        return tuple(RateSum(rate, net, half_up(net * rate, 100)) for rate, net in sorted(columns.items()))
    taxes = {rate: half_up(gross * rate, 100 + rate) for rate, gross in columns.items()}
    return tuple(RateSum(rate, gross - taxes[rate], taxes[rate]) for rate, gross in sorted(columns.items()))
