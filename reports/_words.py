"""Numbers as a reader sees them: percent with digits that the spread can carry, seconds, counts, hyper-parameters."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NARROW = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"  # a range, or nothing to show
MINUS = "\N{MINUS SIGN}"


def digits(spreads: Iterable[float]) -> int:
    """Decimals of a percentage: one where every spread is a whole point or more, else two."""
    known = [s for s in spreads if s and math.isfinite(s)]
    return 1 if known and min(known) >= 0.01 else 2


def percent(fraction: float, places: int = 2, *, sign: bool = False) -> str:
    """`0.8768` -> `87.68`, without the sign of percent; a true minus."""
    text = f"{100 * fraction:{'+' if sign else ''}.{places}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", MINUS)


def plus_minus(mean: float, spread: float, places: int = 2) -> str:
    """`87.68 ± 0.42`; the mean alone where there is no spread over seeds."""
    return percent(mean, places) + (f" ± {percent(spread, places)}" if math.isfinite(spread) else "")


def measure(mean: float, spread: float = math.nan) -> str:
    """`12.3 ± 0.4`: a quantity in its own unit. One digit of the spread, two where that would be 1; without a spread
    three of the quantity."""
    if not math.isfinite(mean):
        return DASH
    known = math.isfinite(spread) and spread > 0
    first, _, exponent = f"{spread if known else abs(mean):.0e}".partition("e")
    places = (first == "1" if known else 2) - int(exponent)
    if places > 6:  # too small for decimals
        return f"{mean:.1e}" + (f" ± {spread:.0e}" if known else "")
    shown = [f"{number:,.{max(places, 0)}f}" for number in (mean, spread) if math.isfinite(number)]
    return " ± ".join(shown).replace("-", MINUS)


def p(value: float) -> str:
    return "< .001" if value < 0.001 else f"{value:.3f}".lstrip("0") if value < 1 else "1"


def p_is(value: float) -> str:
    """`p = .021` or `p < .001`."""
    return f"p {p(value)}" if value < 0.001 else f"p = {p(value)}"


def interval(low: float, high: float, places: int) -> str:
    """`-0.2 to +1.1`, in percentage points."""
    return f"{percent(low, places, sign=True)} to {percent(high, places, sign=True)}"


def ranks(span: tuple[int, int]) -> str:
    """`1`, or a span from 1 to 3."""
    return str(span[0]) if span[0] == span[1] else f"{span[0]}{DASH}{span[1]}"


def value(number: Any) -> str:
    """A hyper-parameter: three significant digits for a float, as it is for anything else."""
    if isinstance(number, float):
        return f"{number:.3g}".replace("e-0", "e-").replace("e+0", "e")
    return str(number)


def settings(options: Mapping[str, Any]) -> str:
    """`margin 0.35, learning rate 0.1`; a name and its number stay on one line."""
    return ", ".join(f"{key.replace('_', ' ')} {value(number)}".replace(" ", NARROW) for key, number in options.items())


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def energy(joules: float) -> str:
    """`480 J`, `12.3 kJ`, `0.84 kWh`."""
    if joules < 1000:
        return f"{joules:.0f} J"
    return f"{joules / 1e3:.1f} kJ" if joules < 1e6 else f"{joules / 3.6e6:.2f} kWh"


def millions(number: float) -> str:
    """Parameters: `1.23 M`, `123 k`."""
    return f"{number / 1e6:.2f} M" if number >= 1e6 else f"{number / 1e3:.0f} k"


def count(number: float) -> str:
    """`3530` -> `3,530`; a number that is not whole keeps one decimal."""
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.1f}"


def many(number: int, noun: str) -> str:
    """`1 seed`, `3 seeds`, `3 searches`."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    return f"{noun}es" if noun.endswith("ch") else f"{noun}s"


def units(unit: str) -> str:
    """What a deviation is over: `training seeds`; of a study that has rows whose unit is the search, these."""
    if unit == "seed":
        return "training seeds"
    return "searches, each with the mean of its seeds (of rows that were not tuned by several: training seeds)"


def ended(unit: str) -> str:
    """The head of a column that counts a row's runs: `6 in 3 searches` is no number of seeds."""
    return "Seeds" if unit == "seed" else "Runs"


def listing(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return " ".join([", ".join(words[:-1]), last, words[-1]]) if len(words) > 1 else "".join(words)
