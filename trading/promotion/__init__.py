"""From a finished cohort to the evidence for or against its candidate, and what the gate's policy makes of it.

`compile_evidence` (compiling) gathers and computes, `evaluate_gate` (gate) judges by a `GatePolicy` (policy),
`promote_intraday_candidate` (screening) ranks and screens the agents. Nothing in here writes to the database.
"""

from __future__ import annotations
