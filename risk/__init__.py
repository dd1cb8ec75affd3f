"""Risk: limits on Books, pre-trade checks, value at risk and stress, kill switch, leverage policy, capital
budgets.

Its turn comes with governance; until then the ceilings that a cohort needs live in the engine's wallet rules.
The layer exists so that the order of imports is fixed from the first day: it may know Books, never a venue or
a strategy.
"""
