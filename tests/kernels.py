"""The engine's machine code, compiled beside a whole run's first tests: whoever needs it finds it, or waits for it.

Without this the workers would come to it at the same time, in the middle of a test, and all but one stand still.
"""

from __future__ import annotations

from trading.strategies.examples import example_market, family_example
from trading.strategies.registry import builtin_families


def compile_all() -> None:
    """Has every built-in family trade, beside the benchmark, for two days."""
    families = builtin_families()
    market = example_market(days=2)
    for family in families.values():
        family_example(family, families["buy_and_hold@1"], market=market)


if __name__ == "__main__":
    compile_all()
