"""Text of numbers and names, not yet escaped; None and NaN are an en dash."""

import math
from typing import Any, TypeGuard

from svmcifar.metrics.paired_tests import LEAST_P

ABSENT = "–"
_NBSP = "\N{NO-BREAK SPACE}"
_MINUS = "\N{MINUS SIGN}"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def is_known(value: float | None) -> TypeGuard[float]:
    """Return whether a value is neither None nor NaN."""
    return value is not None and not math.isnan(value)


def percent(rate: float | None, decimals: int = 1) -> str:
    """Return a rate, a fraction from 0 to 1, in percent."""
    return f"{100 * rate:.{decimals}f}{_NBSP}%" if is_known(rate) else ABSENT


def percent_range(low: float | None, high: float | None, decimals: int = 1) -> str:
    """Return an interval of rates in percent, with its unit once."""
    if not is_known(low) or not is_known(high):
        return ABSENT
    return f"{100 * low:.{decimals}f} to{_NBSP}{100 * high:.{decimals}f}{_NBSP}%"


def points(difference: float | None, decimals: int = 1) -> str:
    """Return a difference of rates in percentage points, signed unless it rounds to zero."""
    if not is_known(difference):
        return ABSENT
    number = f"{100 * difference:+.{decimals}f}"
    if not number.strip("+-0."):
        number = number[1:]
    return number.replace("-", _MINUS)


def decimal(value: float | None, decimals: int = 3) -> str:
    """Return a number with some decimals."""
    return f"{value:.{decimals}f}".replace("-", _MINUS) if is_known(value) else ABSENT


def count(value: int | None) -> str:
    """Return an integer with thousands separators."""
    return ABSENT if value is None else f"{value:,}"


def plain_text(value: Any) -> str:
    """Return a parameter as text, an integer with thousands separators."""
    return count(value) if type(value) is int else str(value)


def significant(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, or all digits before the decimal point."""
    if not is_known(value):
        return ABSENT
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def duration(seconds: float | None) -> str:
    """Return a duration such as "0.84 s", "42.5 s", "12 min 5 s" or "3 h 7 min"."""
    if not is_known(seconds):
        return ABSENT
    if seconds < 59.95:
        return f"{significant(seconds)}{_NBSP}s"
    if round(seconds) < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes}{_NBSP}min" + (f" {rest}{_NBSP}s" if rest else "")
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,}{_NBSP}h" + (f" {minutes}{_NBSP}min" if minutes else "")


def size(n_bytes: int) -> str:
    """Return a file size in decimal units."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= scale:
            return f"{significant(n_bytes / scale)}{_NBSP}{unit}"
    return f"{n_bytes}{_NBSP}bytes"


def probability(p: float) -> str:
    """Return a p-value as "p = 0.034" or "p = 2 × 10⁻¹⁷"; the least one may be less."""
    if p <= LEAST_P:
        return f"p{_NBSP}<{_NBSP}10⁻³⁰⁰"
    if p >= 0.001:
        return f"p{_NBSP}={_NBSP}{p:.3f}"
    mantissa, exponent = f"{p:.0e}".split("e")
    power = str(int(exponent)).translate(_SUPERSCRIPTS)
    return f"p{_NBSP}={_NBSP}{mantissa}{_NBSP}×{_NBSP}10{power}"


def glued(sentence: str) -> str:
    """Keep a number and its percent sign on one line."""
    return sentence.replace(" %", f"{_NBSP}%")
