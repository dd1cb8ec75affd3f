"""What a candidate's slice is cut from: the fund's pool and its rule, or, while there is none, an assumption that is
said."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

import numpy as np
import numpy.typing as npt

from trading.models.cohort import Cohort
from trading.promotion.errors import PromotionError
from trading.promotion.evidence import SliceFacts
from trading.promotion.policy import Slice
from trading.quant.evidence.sizing import MicroLiveSlice, micro_live_slice, overshoot
from treasury.actions.bankroll import CENT, pool_slice_amount
from treasury.models import BankrollPool

SHARE_STEP = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Bankroll:
    """``amount`` in quote units, of which a slice is ``share``, never less than ``smallest``; ``of`` names it.

    ``assumed`` is True where no pool exists and the cohort's own paper bankroll stands in for it.
    """

    amount: float
    share: float
    smallest: float
    of: str
    assumed: bool


def bankroll_for(cohort: Cohort, rules: Slice) -> Bankroll:
    """The bankroll that a candidate of ``cohort`` would draw on now. Where the pool's rule and the gate's differ, the
    smaller share and the larger minimum hold."""
    pool = find_pool(cohort)
    if pool is None:
        return Bankroll(
            amount=float(cohort.bankroll),
            share=rules.share_of_bankroll,
            smallest=rules.smallest,
            of="the cohort's paper bankroll",
            assumed=True,
        )
    return Bankroll(
        amount=float(pool.capacity),
        share=min(rules.share_of_bankroll, float(pool.slice_frac)),
        smallest=max(rules.smallest, float(pool.slice_minimum)),
        of=f"the {pool}",
        assumed=False,
    )


def find_pool(cohort: Cohort) -> BankrollPool | None:
    """The pool that a candidate of this cohort draws on, None while the fund has none in its currency."""
    pools = BankrollPool.objects.filter(fund=cohort.fund, asset__code=cohort.quote)
    return pools.select_related("book", "asset", "fund").first()


def cut_slice(bankroll: Bankroll, rules: Slice, returns: npt.NDArray[np.float64]) -> MicroLiveSlice:
    """The slice of an agent whose returns, bar by bar, are ``returns``."""
    return micro_live_slice(
        bankroll=bankroll.amount,
        share_of_bankroll=bankroll.share,
        smallest=bankroll.smallest,
        stop_frac=rules.stop_frac,
        overshoot_frac=overshoot(returns),
        false_cost_frac=rules.false_cost_frac,
    )


def most_of_pool(facts: SliceFacts) -> Decimal:
    """The largest share of a pool at which a false promotion still costs no more than agreed."""
    if facts.worst_loss_frac <= 0:
        return Decimal(1)
    most = Decimal(repr(round(facts.allowed_frac / facts.worst_loss_frac, 9))).quantize(SHARE_STEP, rounding=ROUND_DOWN)
    return min(Decimal(1), most)


def slice_to_deploy(facts: SliceFacts, pool: BankrollPool, *, passed: bool) -> Decimal:
    """What is asked for and deployed: never more than the evidence was screened at, nor than the pool hands out now.

    What a false promotion may cost holds of the pool as it is now as well, unless the gate had refused and a person
    answers for it. Raises PromotionError where less than the pool's smallest slice is left.
    """
    screened = Decimal(repr(round(facts.amount, 8))).quantize(CENT, rounding=ROUND_DOWN)
    amount = min(screened, pool_slice_amount(pool))
    if passed:
        amount = min(amount, (most_of_pool(facts) * pool.capacity).quantize(CENT, rounding=ROUND_DOWN))
    if amount < pool.slice_minimum:
        raise PromotionError(
            f"The evidence bears a slice of {amount:f}; {pool} hands out no less than {pool.slice_minimum:f}. "
            "Enlarge the pool or lower its smallest slice."
        )
    return amount
