"""What a deployment may be given: its leverage, the size that the sizing rule recommends, and its strategy's budget.

Nothing here changes anything. Signers see these figures; the budget is also asked when a deployment opens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal

import numpy as np
import numpy.typing as npt
from django.db.models import Q, Sum

from fundops.core import clock
from fundops.core.money import to_decimal
from risk.leverage import UNLEVERED, policy_in_force
from risk.models import CapitalBudget, RiskLimit
from risk.quant.metrics import Metric
from risk.quant.sizing import Binding, kelly_fraction, size_position
from risk.templates_of_limits import load_template
from trading.desk.errors import DeploymentSpecError
from trading.models.cohort import CohortAgent
from trading.models.deployments import WORKED_STATUSES, Deployment, Position
from trading.models.promotion import PromotionReview
from trading.promotion.rules import SizingPolicy, rules_in_force
from trading.risk_prices import rate
from treasury.models import Book, BookKind
from treasury.models.books import PATH_SEPARATOR

Float64 = npt.NDArray[np.float64]
HOURS_A_YEAR, DAYS_A_YEAR = 8_760, 365
#: Fewer hours say nothing about how far a strategy swings.
FEWEST_HOURS = 24
CENT = Decimal("0.01")


# --- Leverage -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class LeverageTerms:
    """The most a full target may be worth, in bankrolls, and what holds it there. ``start`` is what the policy allows
    a Book that is new."""

    maximum: Decimal
    start: Decimal
    held_by: str

    @property
    def at_opening(self) -> Decimal:
        return min(self.maximum, self.start)

    @property
    def words(self) -> str:
        return f"at most {self.maximum.normalize():f} x ({self.held_by}); {self.at_opening.normalize():f} x at first"


def leverage_terms(*, asked: Decimal | None, limits_template: str) -> LeverageTerms:
    """The maximum that a deployment is given: what is asked, else the cap of the leverage policy, and never more than
    the hard leverage limit of its template. What it carries at any time is the policy's, up to this."""
    policy = policy_in_force()
    start, cap = (policy[1].start, policy[1].cap) if policy else (UNLEVERED, UNLEVERED)
    maximum, held_by = (
        (asked, "as asked") if asked is not None else (cap, "the leverage policy's cap" if policy else "no policy yet")
    )
    ceiling = template_ceiling(limits_template)
    if ceiling is not None and ceiling < maximum:
        maximum, held_by = ceiling, f"the {limits_template} limits"
    return LeverageTerms(maximum, start, held_by)


def template_ceiling(name: str) -> Decimal | None:
    """The hard leverage limit of a template set; None where it has none."""
    if not name:
        return None
    return next((limit.hard for limit in load_template(name).limits if limit.metric is Metric.LEVERAGE), None)


# --- Sizing ---------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class SizingAdvice:
    """What the sizing rule recommends a full target to be. ``leverage`` and ``notional`` are None where an input is not
    known; rates are annual, of one bankroll of exposure. ``headroom`` None: no cap binds."""

    leverage: float | None
    notional: float | None
    binding: Binding
    volatility: float | None
    expected_return: float | None
    kelly: float | None
    headroom: float | None
    n_hours: int
    rests_on: str
    policy: SizingPolicy
    quote: str

    @property
    def words(self) -> str:
        if self.leverage is None or self.notional is None or self.volatility is None or self.kelly is None:
            return f"not known: {self.rests_on}"
        by = {
            Binding.VOLATILITY_TARGET: "the volatility target",
            Binding.KELLY: "the Kelly ceiling",
            Binding.EXPOSURE_CAP: "the exposure cap",
        }[self.binding]
        room = f"{self.headroom:,.2f} {self.quote} below the cap" if self.binding is Binding.EXPOSURE_CAP else self._cap
        return (
            f"{self.leverage:.2f} x, {self.notional:,.2f} {self.quote} for a full target, by {by} "
            f"(target {self.policy.target_volatility:.0%} over volatility {self.volatility:.0%}; "
            f"{self.policy.kelly_share:g} Kelly {self.policy.kelly_share * max(self.kelly, 0.0):.2f} x; {room}; "
            f"{self.rests_on})"
        )

    @property
    def _cap(self) -> str:
        return "no exposure cap" if self.headroom is None else "the exposure cap leaves more"

    def exceeded_by(self, leverage: Decimal) -> bool | None:
        """Whether that leverage is more than what is recommended; None where nothing is."""
        return None if self.leverage is None else float(leverage) > self.leverage + 1e-9


def sizing_of(agent: CohortAgent, bankroll: Decimal) -> SizingAdvice:
    """The size of a full target for that bankroll: a volatility target, a Kelly ceiling, and the exposure cap above.

    Volatility is that of the agent's hours in its cohort; the expectation is its replay's where it has been reviewed,
    which it was not picked by, else its cohort's own.
    """
    policy = rules_in_force()[1].sizing
    cohort = agent.cohort
    exposure = min(1.0, float(cohort.leverage_ceiling))
    hours = np.array(_hours(agent), dtype=np.float64) / exposure
    volatility = float(np.std(hours, ddof=1)) * math.sqrt(HOURS_A_YEAR) if hours.size >= FEWEST_HOURS else math.nan
    mean, rests_on = _expectation(agent, hours, exposure)
    headroom = exposure_headroom(agent)
    size = size_position(
        equity=float(bankroll),
        volatility=volatility,
        target_volatility=policy.target_volatility,
        expected_return=mean,
        kelly_share=policy.kelly_share,
        exposure_headroom=math.inf if headroom is None else float(headroom),
    )
    known = size.binding is not Binding.UNKNOWN
    return SizingAdvice(
        leverage=size.fraction if known else None,
        notional=size.notional if known else None,
        binding=size.binding,
        volatility=_known(volatility),
        expected_return=_known(mean),
        kelly=_known(kelly_fraction(mean, volatility)),
        headroom=None if headroom is None else float(headroom),
        n_hours=int(hours.size),
        rests_on=rests_on if known else f"{hours.size} hours of the cohort do not tell how far it swings",
        policy=policy,
        quote=cohort.quote,
    )


def _known(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _hours(agent: CohortAgent) -> list[float]:
    rows = agent.agent_days.order_by("day").values_list("hourly_roi", flat=True)
    return [value for row in rows for value in row if value is not None]


def _expectation(agent: CohortAgent, hours: Float64, exposure: float) -> tuple[float, str]:
    """What a year at one bankroll of exposure is expected to bring, and what that rests on."""
    review = PromotionReview.objects.filter(cohort=agent.cohort_id).only("evidence").first()
    lines = [] if review is None else review.evidence["agents"]
    line = next((one for one in lines if one["number"] == agent.number), None)
    if line is not None and line["replay_daily"] is not None:
        said = f"{hours.size} hours of the cohort, expectation of {line['replay_days']} days replayed"
        return float(line["replay_daily"]) / exposure * DAYS_A_YEAR, said
    mean = float(hours.mean()) * HOURS_A_YEAR if hours.size else math.nan
    return mean, f"{hours.size} hours of the cohort alone, which it was picked by"


def exposure_headroom(agent: CohortAgent) -> Decimal | None:
    """What the hard gross exposure limits above a deployment leave, in the quote; None where there are none.

    What deployments there may carry at most counts as taken, whether they hold it now or not. A limit that cannot be
    told in the quote leaves nothing.
    """
    cohort = agent.cohort
    above = list(Book.objects.filter(path__in=_line_above(agent)))
    limits = (
        RiskLimit.objects.in_force(clock.now())
        .filter(book__in=above, metric=Metric.GROSS_EXPOSURE.value, hard__isnull=False, symbol="")
        .filter(Q(venue="") | Q(venue=cohort.venue))
        .select_related("book")
    )
    left = []
    for limit in limits:
        held = Deployment.objects.filter(
            Q(book__path__startswith=limit.book.path + PATH_SEPARATOR), status__in=WORKED_STATUSES
        )
        taken = _in_base(((d.quote, d.bankroll * d.leverage) for d in held), agent)
        one = _unit(cohort.quote, agent)
        room = Decimal(0) if taken is None or not one else (limit.hard or Decimal(0)) - taken
        left.append(max(Decimal(0), room / one if one else Decimal(0)).quantize(CENT, rounding=ROUND_DOWN))
    return min(left) if left else None


def terms_shown(
    agent: CohortAgent, *, bankroll: Decimal, leverage: Decimal | None, limits_template: str
) -> dict[str, str]:
    """What signers see of leverage, sizing rule and budget; what is asked beyond the rule says so.

    The budget itself is signed, not what others have left of it: that is asked again when the deployment opens.
    """
    terms, advice = leverage_terms(asked=leverage, limits_template=limits_template), sizing_of(agent, bankroll)
    said = terms.words
    if advice.exceeded_by(terms.maximum):
        said += f"; above the sizing rule: it recommends {advice.leverage:.2f} x"
    shown = {"Leverage": said, "Sizing rule": advice.words}
    budget = budget_headroom(agent)
    if budget is not None:
        shown["Capital budget"] = budget.terms
    return shown


# --- The capital budget ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class BudgetHeadroom:
    """A strategy's capital budget in force, what its deployments have drawn of it, and what is left; in the fund's base
    asset. ``drawn`` None: it cannot be told in that asset."""

    book: str
    asset: str
    capital: Decimal
    drawn: Decimal | None

    @property
    def left(self) -> Decimal | None:
        return None if self.drawn is None else self.capital - self.drawn

    @property
    def terms(self) -> str:
        """The budget alone, whatever is drawn of it."""
        return f"{self.capital:,.2f} {self.asset} for {self.book}"

    @property
    def words(self) -> str:
        if self.drawn is None:
            return f"{self.terms}; what is drawn cannot be told in {self.asset}"
        left = self.capital - self.drawn
        return f"{self.terms}: {self.drawn:,.2f} drawn, {left:,.2f} left"


def strategy_path(agent: CohortAgent) -> str:
    """The path of the strategy's Book, whether it is there yet or not."""
    return f"{_root(agent).path}{PATH_SEPARATOR}strategy-{agent.family.split('@')[0]}"


def _root(agent: CohortAgent) -> Book:
    return Book.objects.get(fund=agent.cohort.fund_id, parent=None)


def _line_above(agent: CohortAgent) -> list[str]:
    return [_root(agent).path, strategy_path(agent)]


def budget_headroom(agent: CohortAgent) -> BudgetHeadroom | None:
    """What the strategy's budget leaves; None without a budget in force."""
    book = Book.objects.filter(path=strategy_path(agent), kind=BookKind.STRATEGY).first()
    if book is None:
        return None
    now = clock.now()
    running = CapitalBudget.objects.filter(Q(effective_to=None) | Q(effective_to__gt=now), effective_from__lte=now)
    budget = running.filter(book=book).first()
    if budget is None:
        return None
    drawing = Deployment.objects.filter(
        Q(status__in=WORKED_STATUSES) | Q(pk__in=_still_holding(book)), book__parent=book
    )
    by_quote = drawing.values_list("quote").annotate(drawn=Sum("bankroll")).order_by("quote")
    drawn = _in_base(((quote, amount) for quote, amount in by_quote), agent)
    return BudgetHeadroom(book.path, agent.cohort.fund.base_asset.code, budget.capital, drawn)


def _still_holding(book: Book) -> list[int]:
    """Those that ended and hold something still: their bankroll is not back."""
    holding = Position.objects.filter(deployment__book__parent=book).exclude(quantity=0)
    return list(holding.values_list("deployment_id", flat=True))


def check_budget_left(agent: CohortAgent, bankroll: Decimal) -> None:
    """Raises DeploymentSpecError where the bankroll would take the strategy beyond its budget in force.

    Inside the transaction that draws it, with the strategy's Book locked, nobody else draws meanwhile.
    """
    budget = budget_headroom(agent)
    if budget is None:
        return
    asked = _in_base([(agent.cohort.quote, bankroll)], agent)
    if budget.left is None or asked is None:
        raise DeploymentSpecError(
            f"The budget of {budget.book} is in {budget.asset}, and no price tells what is drawn in it."
        )
    if asked > budget.left:
        raise DeploymentSpecError(
            f"The strategy's budget is {budget.words}; {asked:,.2f} {budget.asset} more would pass it. "
            "Ask for less, or for another budget (risk.set_budget)."
        )


def growth_within_budgets(wanted: Sequence[tuple[CohortAgent, Decimal]]) -> list[Decimal]:
    """What of each growth, in the agent's quote, its strategy's budget in force leaves, the first asked first served.

    All of it without a budget; nothing where no price tells what is drawn. Inside the transaction that draws it, with
    the fund's root Book locked, nobody else draws meanwhile.
    """
    left: dict[str, Decimal] = {}
    out = []
    for agent, amount in wanted:
        budget, unit = budget_headroom(agent), _unit(agent.cohort.quote, agent)
        if budget is None:
            out.append(amount)
            continue
        room = left.setdefault(budget.book, Decimal(0) if budget.left is None else max(Decimal(0), budget.left))
        bearable = (room / unit).quantize(CENT, rounding=ROUND_DOWN) if unit else Decimal(0)
        out.append(min(amount, bearable))
        left[budget.book] = room - out[-1] * (unit or Decimal(0))
    return out


def _unit(quote: str, agent: CohortAgent) -> Decimal | None:
    """What one of the quote is in the fund's base asset; None when no price tells."""
    base = agent.cohort.fund.base_asset.code
    if quote == base:
        return Decimal(1)
    found = rate(quote, base, clock.now())
    return None if found is None or not found > 0 else to_decimal(found, places=18)


def _in_base(amounts: Iterable[tuple[str, Decimal]], agent: CohortAgent) -> Decimal | None:
    total = Decimal(0)
    for quote, amount in amounts:
        unit = _unit(quote, agent)
        if unit is None:
            return None
        total += amount * unit
    return total
