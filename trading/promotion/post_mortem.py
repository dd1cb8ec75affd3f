"""The draft of a post-mortem: what happened, in figures, and the questions that people answer."""

from __future__ import annotations

from trading.desk.growth import return_frac
from trading.models.promotion import PromotionReview, ReviewState
from trading.promotion.evidence import Evidence
from trading.selectors.deployments import RefusedClosing, refused_closing

_UNITS = {"frac": "{:.2%}", "ratio": "{:.2f} x", "s": "{:.0f} s", "h": "{:.1f} h", "wealth": "{:.2f}", "": "{:.0f}"}


def draft_post_mortem(review: PromotionReview) -> str:
    """Markdown. Every figure is from the review, its deployment and its books; what people must find out is asked."""
    deployment = review.deployment
    assert deployment is not None, "only what was deployed has a post-mortem"  # noqa: S101
    run, evidence = deployment.run, Evidence.model_validate(review.evidence)
    profit = run.equity - deployment.bankroll
    rolled_back = review.state == ReviewState.ROLLED_BACK
    refused = refused_closing(deployment)
    lines = [
        f"# {deployment}: {'rolled back' if rolled_back else 'ended after it had graduated'}",
        "",
        f"**Cause:** {review.end_words if rolled_back else deployment.stop_reason}",
        "",
        "## What happened",
        "",
        f"- Candidate: agent {review.agent.number if review.agent else '?'} of {review.cohort}, {deployment.family}.",
        f"- Slice: {deployment.bankroll:f} {deployment.quote} at most at {deployment.leverage.normalize():f} x, "
        f"at {run.leverage.normalize():f} x at the end, "
        f"{deployment.gateway} gateway.",
        f"- Result: {profit:+.2f} {deployment.quote} ({return_frac(deployment):+.2%}) "
        f"over {run.cycles:,} bars "
        f"and {run.fills:,} fills; worst drawdown {run.max_drawdown_frac:.2%}.",
        *(
            f"- Resized: {flow.amount.normalize():+f} {deployment.quote} on {flow.at:%Y-%m-%d %H:%M} UTC."
            for flow in deployment.capital_flows.all()
        ),
        *([] if refused is None else [_refused_line(refused)]),
        f"- Costs: fees {run.fees:.4f}, spread and impact {run.slippage:.4f}, funding {run.funding:+.4f}.",
        "",
        "## The way",
        "",
        *(
            f"- {step.at:%Y-%m-%d %H:%M:%S} UTC: {step.get_after_display()}. {step.words}"
            for step in review.steps.all()
        ),
        "",
        "## The meters at the end",
        "",
        "| meter | reading | limit | |",
        "|---|---|---|---|",
        *(_meter_line(meter) for meter in review.meters),
        "",
        "## What the evidence had said",
        "",
        *(f"- {words}" for words in review.verdict["words"]),
        *(f"- Not known then: {words}" for words in evidence.not_known),
        "",
        "## To be answered",
        "",
        "- Was the loss within what the slice was sized for?",
        "- Was the cause in the market, in the strategy, in the costs or in the machine?",
        "- Should the gate, the watch or the limits change? Propose it.",
        "",
    ]
    return "\n".join(lines)


def _refused_line(refused: RefusedClosing) -> str:
    first, last = (f"{at:%Y-%m-%d %H:%M:%S} UTC" for at in (refused.first, refused.last))
    return f"- Closing waited: {refused.orders:,} orders to close were denied from {first} to {last}. {refused.why}"


def _meter_line(meter: dict[str, object]) -> str:
    unit = _UNITS.get(str(meter["unit"]), "{}")
    reading = "not known" if meter["reading"] is None else unit.format(meter["reading"])
    fired = "fired" if meter["fired"] else ""
    return f"| {meter['label']} | {reading} | {unit.format(meter['limit'])} | {fired} |"
