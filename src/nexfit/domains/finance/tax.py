"""Value added tax: the rate on a day, and what part of a price that includes it the tax is. Pure rules."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal

from babel.numbers import get_currency_precision

from nexfit.domains.errors import ErrorCode, Refusal

_RATES: dict[str, tuple[tuple[date, Decimal], ...]] = {
    # Presidential decree 7346 raised the general rate on 10 July 2023.
    "TR": ((date(2023, 7, 10), Decimal("0.20")), (date(2002, 1, 1), Decimal("0.18"))),
}
"""By country (ISO 3166), the first day of each rate, the latest first."""


class NoTaxRate(Refusal):
    """Nobody has entered the country's rates, and a guessed one would be a wrong invoice."""

    code = ErrorCode.NO_TAX_RATE

    def __init__(self, *, country: str | None) -> None:
        super().__init__("No tax rate is known for {country}.", country=country or "?")


def rate_on(country: str | None, day: date) -> Decimal:
    """The general rate in a country on a local day, as a fraction. Raises NoTaxRate."""
    for since, rate in _RATES.get(country or "", ()):
        if day >= since:
            return rate
    raise NoTaxRate(country=country)


def split_tax(total: Decimal, rate: Decimal, currency: str) -> tuple[Decimal, Decimal]:
    """Net and tax of a price that includes the tax, in whole units of the currency's exponent; they add up to it."""
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))
    net = (total / (1 + rate)).quantize(exponent, ROUND_HALF_UP)
    return net, total - net
