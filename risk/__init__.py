"""Risk: limits on Books, pre-trade checks, value at risk, stress, capital budgets.

`quant/` is pure mathematics and the pre-trade check; the rest keeps limits, breaches, scenarios and
snapshots. The layer knows Books, never a venue or a strategy: who knows positions and prices registers in
`risk.sources`.
"""
