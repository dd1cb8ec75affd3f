"""Orders and price collars that do not go together, told before a deployment is signed.

A collar binds closing orders as well. A deployment whose orders all fail it could neither open nor close anything.
"""

from __future__ import annotations

from decimal import Decimal

from risk.quant.metrics import Metric
from risk.selectors import effective_limits
from risk.templates_of_limits import load_template
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import CohortAgent
from treasury.models import Book, BookKind

#: How far from the close a desk prices its orders at most.
SLIPPAGE_CAP_FRAC = Decimal("0.003")


def check_collar(*, agent: CohortAgent, slippage_cap_frac: Decimal | None, limits_template: str) -> None:
    """Raises DeploymentSpecError where a hard price collar, of the template or inherited, would deny every order."""
    collars = _collars(agent, limits_template)
    if not collars:
        return
    level, whose = min(collars)
    if slippage_cap_frac is None:
        raise DeploymentSpecError(
            f"Market orders carry no price, and the price collar of {whose} denies orders without one, closing ones "
            "too. Let the orders carry a limit price, or choose limits without a price collar."
        )
    if float(slippage_cap_frac) > level:
        raise DeploymentSpecError(
            f"Orders may be priced {slippage_cap_frac:.2%} from the market, and the price collar of {whose} denies "
            f"what is priced more than {level:.2%} from it, closing orders too. Have the collar widened first."
        )


def _collars(agent: CohortAgent, limits_template: str) -> list[tuple[float, str]]:
    """Hard price collars on the deployment's way, and whose they are."""
    cohort = agent.cohort
    markets = {"", agent.symbol} if agent.symbol else {"", *cohort.symbols}
    found = [
        (limit.hard, f"limit {limit.hard_limit_id}")
        for limit in effective_limits(_book_above(agent))
        if limit.metric is Metric.PRICE_COLLAR_FRAC
        and limit.hard is not None
        and limit.symbol in markets
        and limit.venue in ("", cohort.venue)
    ]
    if limits_template:
        template = load_template(limits_template)
        found += [
            (float(limit.hard), f"the {template.title.lower()} limits")
            for limit in template.limits
            if limit.metric is Metric.PRICE_COLLAR_FRAC and limit.hard is not None
        ]
    return found


def _book_above(agent: CohortAgent) -> Book:
    """The strategy's Book, or the fund's before its first deployment."""
    books = Book.objects.filter(fund=agent.cohort.fund_id)
    code = f"strategy-{agent.family.split('@')[0]}"
    own = books.filter(parent__parent=None, kind=BookKind.STRATEGY, code=code).first()
    return own or books.get(parent=None)
