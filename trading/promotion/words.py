"""The evidence in sentences: what it says, and as plainly what it does not."""

from __future__ import annotations

from trading.promotion.evidence import AgentLine, Combined, Power, ReplayFacts, SliceFacts, Trials
from trading.quant.evidence.power import days_to_see, t_of_days
from trading.quant.evidence.skill import critical_score


def known_words(
    *,
    candidate: AgentLine | None,
    agents: int,
    excluded: int,
    trials: Trials,
    combined: Combined | None,
    power: Power,
    power_at: float,
    sized: SliceFacts | None,
    quote: str,
    by_evidence: bool,
) -> list[str]:
    """What the evidence says, the most important first."""
    out = []
    if candidate is None:
        return [f"All {agents} agents failed a screen; there is no candidate."]
    where = candidate.symbol or "all markets"
    out.append(
        f"The candidate is agent {candidate.number} ({candidate.profile or candidate.family} on {where}): "
        f"{candidate.roi_frac:+.2%} in the cohort, rank {candidate.roi_rank} of {agents} by return."
    )
    if candidate.roi_rank != 1 and by_evidence:
        out.append("It is not the agent with the best return: agents are ranked by all evidence about them.")
    if excluded:
        out.append(f"{excluded} of {agents} agents failed a screen and were not considered.")
    if combined and combined.chance_of_best is not None and combined.score is not None:
        out.append(
            f"A best agent as good as this one comes up by chance in {combined.chance_of_best:.1%} of such cohorts "
            f"without any skill (score {combined.score:.2f}, {combined.needed:.2f} needed at {combined.level:.1%}), "
            f"counting {combined.trials:,} trials on this window."
        )
    if trials.records:
        out.append(
            f"Of the trials, {trials.distinct:,} are genomes that agents of {len(trials.cohorts):,} cohorts traded and "
            f"{trials.outside:,} are others from {trials.records:,} recorded backtests and sweeps."
        )
    if trials.effective_eigen is not None:
        whose = "The agents' trials" if trials.records else "The trials"
        among = trials.distinct if trials.records else trials.counted
        out.append(
            f"{whose} move together: {among:,} of them are worth about {trials.effective_eigen:.0f} "
            "independent ones. The test counts them all."
        )
    seen = next(point for point in power.points if point.annual_sharpe == power_at)
    out.append(
        f"An agent with a true annual Sharpe ratio of {seen.annual_sharpe:g} would pass with probability "
        f"{seen.all:.0%} on {power.days} days of evidence, and {seen.cohort:.1%} "
        f"on the cohort's {power.cohort_days} days alone."
    )
    if sized is not None:
        out.append(
            f"It would trade a slice of {sized.amount:,.2f} {quote} out of {sized.bankroll_of} of "
            f"{sized.bankroll:,.2f}. If that is a mistake it costs at most {sized.worst_loss:,.2f}, "
            f"{sized.cost_frac:.2%} of it; {sized.allowed_frac:.2%} is allowed."
        )
    return out


def unknown_words(
    *, power: Power, replay: ReplayFacts, trials: Trials, level: float, synthetic: bool, live: int, assumed: bool
) -> list[str]:
    """What is not known, in plain words."""
    days = power.cohort_days
    out = [
        f"The cohort's {days} days prove nothing by themselves: an annual Sharpe ratio of 5 shows a t statistic of "
        f"{t_of_days(5, days):.2f} on average, and the best of {trials.counted:,} agents without any skill shows "
        f"{critical_score(0.05, trials.counted):.1f} one time in twenty."
    ]
    if replay.days == 0:
        out.append(f"There is no replay: {replay.why_none}. The evidence is the cohort's own days.")
    elif power.detectable is not None:
        out.append(
            f"With {power.days} days in all it takes a true annual Sharpe ratio of about {power.detectable:.1f} to "
            "pass four times out of five. Less skill is easily missed: a closed gate does not say that there is none."
        )
    needed = days_to_see(2.0, trials=trials.counted, level=level, gain=power.gain)
    if needed is not None and needed > power.days:
        out.append(f"To see a Sharpe ratio of 2 four times out of five takes about {needed:,.0f} days of evidence.")
    out.append(
        "Cohort and replay are paper: both take the cost model's word for spread, impact and fees. What real fills "
        "cost is what micro-live measures first."
    )
    if replay.days:
        out.append(
            "The replay never saw the cohort's days nor those its genomes were chosen on, but its strategy families "
            "were written by people who know how markets moved; hindsight of that kind cannot be taken out."
        )
    out.append(
        "Skill that all agents share counts as market movement, not as skill of one; and whether the next days "
        "resemble the stored ones is not known."
    )
    out.append(
        "Trials count every agent of every stored cohort on this window, and every recorded backtest and sweep. What "
        "was tried with the engine called directly, or with another program, leaves no record and is not counted."
    )
    if assumed:
        out.append(
            "The fund has no bankroll pool in this currency yet: the slice and its cost are reckoned from the cohort's "
            "paper bankroll. No more than this slice is handed out, whatever the pool will be."
        )
    if live == 0:
        out.append("Nothing trades live that it could be compared with, so no correlation is known.")
    if synthetic:
        out.append("These prices were invented: nothing here speaks of a real market.")
    return out
