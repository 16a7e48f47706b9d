"""Prices as text: as many decimals as it takes to tell two of them apart."""

import math

# 1.1357 dollars for a euro, 0.0004 for a share; but 109.29, not 109.290.
SIGNIFICANT_DIGITS = 5
LEAST_DECIMALS = 2


def price(value: float | None) -> str:
    """A price with five significant digits and at least two decimals; nothing for none."""
    if value is None or not math.isfinite(value):
        return ""
    if not value:
        return f"{0:.{LEAST_DECIMALS}f}"
    decimals = max(LEAST_DECIMALS, SIGNIFICANT_DIGITS - 1 - math.floor(math.log10(abs(value))))
    whole, _, rest = f"{value:.{decimals}f}".partition(".")
    return f"{whole}.{rest.rstrip('0').ljust(LEAST_DECIMALS, '0')}"
