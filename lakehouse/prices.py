"""Formats prices with as many decimals as needed to tell them apart."""

import math

# 1.1357 dollars for a euro, 0.0004 for a share; from ten on, two decimals suffice.
SIGNIFICANT_DIGITS = 5
LEAST_DECIMALS = 2
CENTS_WILL_DO = 10.0


def price(value: float | None) -> str:
    """A price with two decimals, or five significant digits if small; empty if unknown."""
    if value is None or not math.isfinite(value):
        return ""
    if not value or abs(value) >= CENTS_WILL_DO:
        return f"{value:.{LEAST_DECIMALS}f}"
    decimals = max(LEAST_DECIMALS, SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value))))
    whole, _, rest = f"{value:.{decimals}f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(LEAST_DECIMALS, '0')}"
