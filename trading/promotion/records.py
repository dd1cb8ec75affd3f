"""What real orders taught about a genome, and what it is worth elsewhere since.

A rolled back experiment halves the weight of its genome and takes a quarter of its family's, for each one; a graduated
one leaves them whole. The weights are used where genomes are chosen for the next cohort, where a council is seated, and
at once in every council at work.
"""

from __future__ import annotations

import numpy as np
from django.db.models import Q

from fundops.core.events import publish
from trading.actions.council import weigh_down
from trading.desk.growth import return_frac
from trading.models.deployments import WORKED_STATUSES, CouncilVoice, Deployment
from trading.models.promotion import LiveRecord, ReviewState
from trading.promotion.meters import hourly_returns
from trading.promotion.weights import FAMILY_LEFT, GENOME_LEFT


def keep_record(deployment: Deployment, *, outcome: str, cause: str) -> LiveRecord:
    """The record of a deployment's experiment, kept once for each outcome; voices of its genome and family at work are
    weighed anew.

    Called inside the transaction that ends the experiment.
    """
    found = LiveRecord.objects.filter(deployment=deployment, outcome=outcome).first()
    if found is not None:
        return found
    run = deployment.run
    hours = hourly_returns(deployment)
    profit = run.equity - deployment.bankroll
    record = LiveRecord.objects.create(
        deployment=deployment,
        genome_hash=deployment.genome_hash,
        family=deployment.family,
        outcome=outcome,
        cause=cause,
        bankroll=deployment.bankroll,
        profit=profit,
        roi_frac=return_frac(deployment),
        max_drawdown_frac=run.max_drawdown_frac,
        fills=run.fills,
        hours=int(hours.size),
        mean_hourly=float(hours.mean()) if hours.size else None,
        sd_hourly=float(np.std(hours, ddof=1)) if hours.size > 1 else None,
        weight=GENOME_LEFT if outcome == ReviewState.ROLLED_BACK else 1.0,
    )
    publish(
        "trading.record.kept",
        actor=None,
        obj=record,
        payload={
            "deployment": deployment.pk,
            "genome_hash": record.genome_hash,
            "family": record.family,
            "outcome": outcome,
            "cause": cause,
            "profit": profit,
            "quote": deployment.quote,
            "weight": record.weight,
        },
        topics=["reviews"],
    )
    if outcome == ReviewState.ROLLED_BACK:
        _weigh_down(deployment)
    return record


def _weigh_down(deployment: Deployment) -> None:
    """Every voice at work of the same genome, whatever council it sits in, keeps as much of its weight as the genome
    does; one of another genome of the strategy what the family keeps."""
    voices = (
        CouncilVoice.objects.filter(
            Q(genome_hash=deployment.genome_hash) | Q(family=deployment.family),
            deployment__status__in=WORKED_STATUSES,
        )
        .exclude(deployment=deployment)
        .select_related("deployment")
        .order_by("pk")
    )
    for voice in voices:
        same = voice.genome_hash == deployment.genome_hash
        weigh_down(
            voice=voice,
            left=GENOME_LEFT if same else FAMILY_LEFT,
            reason=f"{deployment} of the same {'genome' if same else 'strategy'} was rolled back.",
        )
