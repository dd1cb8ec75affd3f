"""Opening and stopping deployments: what people decide, and what their desk does at the very end.

A deployment is opened by the executor of an approved request and by nothing else; the database asks for it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from django.db import connection, transaction

from compliance.approvals.registry import Warrant, require_execution
from compliance.models import ApprovalRequest
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from fundops.core.permissions import require
from fundops.core.tasks import enqueue_on_commit
from risk.actions.leverage import begin_leverage
from risk.actions.limits import apply_template
from trading.actions.council import QUORUM, Seating, check_council, seat_council
from trading.actions.slices import close_slice
from trading.cohorts.installed import installed_families
from trading.deployment_terms import check_budget_left, leverage_terms
from trading.desk.errors import DeploymentEndedError, DeploymentSpecError
from trading.gateways.installed import NAMES
from trading.models.cohort import CohortAgent, CohortMode
from trading.models.deployments import ENDED_STATUSES, Deployment, DeploymentStatus, DeskRun
from trading.quant.genome import parse_genome
from trading.strategies.errors import StrategyError
from treasury.actions.books import open_book
from treasury.actions.ledger import post_entry
from treasury.models import AccountKind, Asset, Book, BookKind, EntryKind
from treasury.postings import Source, contribution, draw, release
from treasury.selectors import By, balances, book_accounts

#: Requests whose execution opens deployments; the trigger of the table names the same.
OPENING_KINDS = ("trading.deploy", "trading.promote")
DESK_TASK = "trading.tasks.run_desks"
SMALLEST_BANKROLL = Decimal(50)
SOURCE = "trading.deployment"


def open_deployment(
    *,
    agent: CohortAgent,
    bankroll: Decimal,
    warrant: Warrant,
    leverage: Decimal | None = None,
    book: Book | None = None,
    limits_template: str = "micro-live",
    gateway: str = "paper",
    slippage_cap_frac: Decimal | None = Decimal("0.003"),
    quorum_frac: Decimal = QUORUM,
    others: Sequence[Seating] = (),
    start_ms: int | None = None,
    end_ms: int | None = None,
    speed: float | None = None,
    reason: str = "",
) -> Deployment:
    """Opens a deployment of a cohort's agent in the name of the executing request: Book, bankroll, limits, council.

    ``book`` hands out the bankroll from its cash; left out, the strategy's own Book does, which receives it as paper
    capital first. ``leverage`` is the most it may ever carry (`trading.deployment_terms.leverage_terms`); how much of
    that it carries is decided by the policy, under which its Book comes. ``others`` are further voices of its council.
    It trades from ``start_ms`` on: the next bar to open for an agent of a cohort that followed the market, else the end
    of its cohort's window, over stored candles at the cohort's speed.
    Raises NotApprovedError, DeploymentSpecError, and what books and limits refuse.
    """
    require_execution(warrant, *OPENING_KINDS)
    check_terms(
        agent=agent, bankroll=bankroll, leverage=leverage, gateway=gateway, others=others, quorum_frac=quorum_frac
    )
    lever = leverage_terms(asked=leverage, limits_template=limits_template).maximum
    cohort = agent.cohort
    first, pace = (
        (start_ms, speed) if start_ms is not None and speed is not None else _first_bar(agent, start_ms, speed)
    )
    if first % cohort.interval_ms:
        raise DeploymentSpecError(f"The first bar must open on the {cohort.interval} grid.")
    with transaction.atomic():
        strategy = strategy_book(agent, actor=warrant.actor)
        check_budget_left(agent, bankroll)  # again, now that nobody else of the fund opens one
        number = _next_number()
        opened_on = clock.from_ms(first - cohort.interval_ms).date()
        own = open_book(
            parent=strategy,
            code=f"deployment-{number}",
            name=f"Deployment {number}: {agent.family} of {cohort}",
            kind=BookKind.DEPLOYMENT,
            opened_on=opened_on,
            actor=warrant.actor,
        )
        allowed = begin_leverage(book=own, actor=warrant.actor)
        deployment = Deployment.objects.create(
            pk=number,
            name=f"{agent.family.split('@')[0]} {agent.symbol or 'all markets'} #{number}",
            fund=cohort.fund,
            book=own,
            source_book=book or strategy,
            agent=agent,
            request=ApprovalRequest.objects.get(pk=warrant.request_id),
            family=agent.family,
            genome=agent.genome,
            genome_hash=agent.genome_hash,
            venue=cohort.venue,
            symbols=cohort.symbols,
            interval=cohort.interval,
            quote=cohort.quote,
            synthetic=cohort.synthetic,
            gateway=gateway,
            cost_profile=cohort.cost_profile,
            daily_volatility=cohort.run.provenance["daily_volatility"],
            bankroll=bankroll,
            leverage=lever,
            start_leverage=allowed,
            leverage_ceiling=lever * max(Decimal(1), cohort.leverage_ceiling),
            limits_template=limits_template,
            slippage_cap_frac=slippage_cap_frac,
            quorum_frac=quorum_frac,
            start_ms=first,
            end_ms=end_ms,
            speed=pace,
            opened_by=warrant.actor,
            opened_at=clock.now(),
        )
        council = seat_council(deployment, others)
        _draw_bankroll(deployment, opened_on, paper=book is None, actor=warrant.actor)
        if limits_template:
            apply_template(book=own, template=limits_template, warrant=warrant, reason=reason)
        DeskRun.objects.create(
            deployment=deployment,
            next_bar_ms=first,
            cash=bankroll,
            equity=bankroll,
            day_open_equity=bankroll,
            peak_equity=bankroll,
            leverage=min(lever, allowed),
            next_action="Warms its strategies up.",
        )
        publish(
            "trading.deployment.opened",
            actor=warrant.actor,
            obj=deployment,
            payload={
                "agent": agent.pk,
                "cohort": cohort.pk,
                "genome_hash": agent.genome_hash,
                "family": agent.family,
                "bankroll": bankroll,
                "quote": deployment.quote,
                "leverage": lever,
                "start_leverage": allowed,
                "council": {voice.genome_hash: voice.weight for voice in council},
                "quorum_frac": quorum_frac,
                "limits_template": limits_template,
                "gateway": gateway,
                "book": own.path,
                "source_book": deployment.source_book.path,
                "start_ms": first,
                "request": str(warrant.request_id),
                "reason": reason,
            },
            topics=["deployments", deployment.topic, f"book:{own.pk}"],
        )
        enqueue_on_commit(DESK_TASK)
    return deployment


def check_terms(
    *,
    agent: CohortAgent,
    bankroll: Decimal,
    leverage: Decimal | None,
    gateway: str,
    others: Sequence[Seating] = (),
    quorum_frac: Decimal = QUORUM,
) -> None:
    """Everything that can be known to be wrong of a deployment before it is opened. Raises DeploymentSpecError."""
    if bankroll < SMALLEST_BANKROLL:
        raise DeploymentSpecError(f"A deployment takes at least {SMALLEST_BANKROLL}; {bankroll} is too little.")
    if bankroll != bankroll.quantize(Decimal("0.01")):
        raise DeploymentSpecError("The bankroll has at most two decimals.")
    if leverage is not None and not 0 < leverage <= 10:
        raise DeploymentSpecError("The leverage must lie above 0 and at most at 10.")
    if gateway not in NAMES:
        raise DeploymentSpecError(f"There is no gateway '{gateway}'. Choose one of {', '.join(NAMES)}.")
    if not hasattr(agent.cohort, "run"):
        raise DeploymentSpecError(f"{agent.cohort} has not traded yet: there is nothing to deploy.")
    try:
        parse_genome(agent.genome, installed_families().__getitem__)
    except (KeyError, StrategyError) as error:
        raise DeploymentSpecError(f"The strategy {agent.family} is not installed any more.") from error
    check_council(agent=agent, others=others, quorum_frac=quorum_frac)
    check_budget_left(agent, bankroll)


def strategy_book(agent: CohortAgent, *, actor: User | None) -> Book:
    """The strategy's Book below the fund, opened with its first deployment."""
    fund = agent.cohort.fund
    root = Book.objects.select_for_update(no_key=True).get(fund=fund, parent=None)
    name = agent.family.split("@")[0]
    found = Book.objects.filter(parent=root, kind=BookKind.STRATEGY, code=f"strategy-{name}").first()
    return found or open_book(
        parent=root,
        code=f"strategy-{name}",
        name=f"Strategy {name}",
        kind=BookKind.STRATEGY,
        opened_on=fund.opened_on,
        actor=actor,
    )


def _first_bar(agent: CohortAgent, start_ms: int | None, speed: float | None) -> tuple[int, float]:
    cohort = agent.cohort
    follows = cohort.mode == CohortMode.FORWARD and cohort.speed == 1.0
    pace = speed if speed is not None else (cohort.speed if cohort.mode == CohortMode.FORWARD else 1.0)
    if start_ms is not None:
        return start_ms, pace
    step = cohort.interval_ms
    return (-(-clock.now_ms() // step) * step if follows else cohort.end_ms), pace


def _next_number() -> int:
    """The number is taken first: the Book is named by it, and the deployment needs the Book."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval(pg_get_serial_sequence('trading_deployment', 'id'))")
        return int(cursor.fetchone()[0])


def _draw_bankroll(deployment: Deployment, on: date, *, paper: bool, actor: User) -> None:
    asset = Asset.objects.get(code=deployment.quote)
    source, own = book_accounts(deployment.source_book), book_accounts(deployment.book)
    if paper:
        post_entry(
            fund=deployment.fund,
            value_date=on,
            kind=EntryKind.CONTRIBUTION,
            lines=contribution(book=source, asset_id=asset.pk, amount=deployment.bankroll),
            memo=f"Paper bankroll of {deployment}",
            source=Source(SOURCE, str(deployment.pk)),
            idempotency_key=f"deployment:{deployment.pk}:paper",
            actor=actor,
        )
    post_entry(
        fund=deployment.fund,
        value_date=on,
        kind=EntryKind.DRAW,
        lines=draw(parent=source, child=own, asset_id=asset.pk, amount=deployment.bankroll),
        memo=f"Bankroll of {deployment}",
        source=Source(SOURCE, str(deployment.pk)),
        idempotency_key=f"deployment:{deployment.pk}:draw",
        actor=actor,
    )


# --- Stopping ---------------------------------------------------------------------------------------------------
def stop_deployment(*, deployment: Deployment, reason: str, flatten: bool, actor: User | None) -> Deployment:
    """Asks the desk to stop: no order is opened any more, and with ``flatten`` what is held is closed first.

    A machine stops with ``actor`` None. Stopping again with ``flatten`` closes what an earlier stop left; asked twice
    the same way nothing changes. When nothing is held and nothing works, the desk hands the bankroll back.
    Raises PermissionMissingError or DeploymentEndedError.
    """
    if actor is not None:
        require(actor, "trading.stop_deployment", deployment)
    if not reason.strip():
        raise DeploymentSpecError("Say why it is stopped.")
    with transaction.atomic():
        held = Deployment.objects.select_for_update(of=("self",)).get(pk=deployment.pk)
        if held.status in ENDED_STATUSES and not (flatten and _holds_something(held)):
            raise DeploymentEndedError(f"{held} has ended; nothing is left to stop.", deployment=held.pk)
        if held.status == DeploymentStatus.STOPPING and (held.flatten or not flatten):
            return held
        held.status = DeploymentStatus.STOPPING
        held.flatten = held.flatten or flatten
        held.stop_reason = reason.strip()
        held.stopped_at = None
        held.save(update_fields=["status", "flatten", "stop_reason", "stopped_at"])
        publish(
            "trading.deployment.stopping",
            actor=actor,
            obj=held,
            payload={"reason": held.stop_reason, "flatten": held.flatten},
            topics=["deployments", held.topic],
        )
        enqueue_on_commit(DESK_TASK)
    return held


def _holds_something(deployment: Deployment) -> bool:
    return deployment.positions.exclude(quantity=0).exists()


def finish_deployment(*, deployment: Deployment, on: date) -> Deployment:
    """What the desk does last: hands the cash back where nothing is held, and ends. Inside the desk's transaction."""
    held = Deployment.objects.select_for_update(of=("self",)).get(pk=deployment.pk)
    if held.status != DeploymentStatus.STOPPING:
        return held
    released = Decimal(0)
    if not _holds_something(held):
        released = release_bankroll(deployment=held, on=on)
        close_slice(held)
    held.status = DeploymentStatus.STOPPED
    held.stopped_at = clock.now()
    held.save(update_fields=["status", "stopped_at"])
    publish(
        "trading.deployment.stopped",
        actor=None,
        obj=held,
        payload={
            "reason": held.stop_reason,
            "released": released,
            "quote": held.quote,
            "flat": not _holds_something(held),
        },
        topics=["deployments", held.topic, f"book:{held.book_id}"],
    )
    return held


def release_bankroll(*, deployment: Deployment, on: date) -> Decimal:
    """Hands all cash of the deployment's Book back to the Book it came from; returns how much."""
    asset = Asset.objects.get(code=deployment.quote)
    left = sum(
        (
            balance.amount
            for balance in balances(books=[deployment.book_id], by=(By.KIND,))
            if balance.kind == AccountKind.CASH and balance.asset_id == asset.pk
        ),
        Decimal(0),
    )
    if left == 0:
        return left
    post_entry(
        fund=deployment.fund,
        value_date=on,
        kind=EntryKind.RELEASE,
        lines=release(
            parent=book_accounts(deployment.source_book),
            child=book_accounts(deployment.book),
            asset_id=asset.pk,
            amount=left,
        ),
        memo=f"Bankroll of {deployment} handed back",
        source=Source(SOURCE, str(deployment.pk)),
        idempotency_key=None,
        actor=None,
    )
    return left
