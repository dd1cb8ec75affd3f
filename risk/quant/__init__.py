"""Pure risk mathematics: arrays in, arrays out, no Django.

Common conventions. Returns and P&L are signed, gains positive; VaR, ES and stress losses are positive numbers
that lose money (a negative VaR means that even the tail gains). A confidence level is `alpha`, 0.99 say, and
the tail mass is `1 - alpha`. Scenario matrices are (n_obs, n_assets), oldest row first. NaN in, NaN out: no
figure is made up, and the edge turns NaN into null. A sample that is too small for what is asked gives NaN as
well.
"""
