"""The statistics of a promotion: how much of a winner is skill, and how much is having been picked.

Undefined is None (NaN inside arrays), every figure carries the number of observations it rests on, Sharpe ratios
are per observation unless a name says annual. Arrays in, arrays out; no Django in here. What each method assumes
and where it comes from stands in its module; what the product makes of them is described in docs/gate.md.
"""

from __future__ import annotations
