"""Value added tax: the rate on a day, and the tax in a price or on top of it. Pure rules."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from babel.numbers import get_currency_precision

from nexfit.domains.errors import ErrorCode, Refusal


class TaxClass(StrEnum):
    """How a country taxes what is sold."""

    STANDARD = "standard"
    REDUCED = "reduced"
    LOWEST = "lowest"
    EXEMPT = "exempt"


_LONG_AGO = date(2002, 1, 1)
_DECREE_7346 = date(2023, 7, 10)
"""The presidential decree that raised Turkey's two upper rates."""

_POLAND_IN_2011 = date(2011, 1, 1)
_POLAND_IN_EU = date(2004, 5, 1)

_RATES: dict[str, dict[TaxClass, tuple[tuple[date, Decimal], ...]]] = {
    "TR": {
        TaxClass.STANDARD: ((_DECREE_7346, Decimal("0.20")), (_LONG_AGO, Decimal("0.18"))),
        TaxClass.REDUCED: ((_DECREE_7346, Decimal("0.10")), (_LONG_AGO, Decimal("0.08"))),
        TaxClass.LOWEST: ((_LONG_AGO, Decimal("0.01")),),
        TaxClass.EXEMPT: ((_LONG_AGO, Decimal(0)),),
    },
    "PL": {
        TaxClass.STANDARD: ((_POLAND_IN_2011, Decimal("0.23")), (_POLAND_IN_EU, Decimal("0.22"))),
        TaxClass.REDUCED: ((_POLAND_IN_2011, Decimal("0.08")), (_POLAND_IN_EU, Decimal("0.07"))),
        TaxClass.LOWEST: ((_POLAND_IN_2011, Decimal("0.05")), (_POLAND_IN_EU, Decimal("0.03"))),
        TaxClass.EXEMPT: ((_POLAND_IN_EU, Decimal(0)),),
    },
}
"""By country (ISO 3166) and class, the first day of each rate, the latest first."""


class NoTaxRate(Refusal):
    """Nobody has entered the country's rates, and a guessed one would be a wrong invoice."""

    code = ErrorCode.NO_TAX_RATE

    def __init__(self, *, country: str | None) -> None:
        super().__init__("No tax rate is known for {country}.", country=country or "?")


def rate_on(country: str | None, day: date, of: TaxClass = TaxClass.STANDARD) -> Decimal:
    """The rate of a class in a country on a local day, as a fraction. Raises NoTaxRate."""
    for since, rate in _RATES.get(country or "", {}).get(of, ()):
        if day >= since:
            return rate
    raise NoTaxRate(country=country)


def split_tax(total: Decimal, rate: Decimal, currency: str) -> tuple[Decimal, Decimal]:
    """Net and tax of a price that includes the tax, in whole units of the currency's exponent; they add up to it."""
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))
    net = (total / (1 + rate)).quantize(exponent, ROUND_HALF_UP)
    return net, total - net


def add_tax(net: Decimal, rate: Decimal, currency: str) -> tuple[Decimal, Decimal]:
    """Net and tax of a price the tax comes on top of, in whole units of the currency's exponent."""
    exponent = Decimal(1).scaleb(-get_currency_precision(currency))
    net = net.quantize(exponent, ROUND_HALF_UP)
    return net, (net * rate).quantize(exponent, ROUND_HALF_UP)
