"""The bankroll pool: set up and resized by the gate, handed out in slices that never pass its caps."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_DOWN, Decimal
from typing import Annotated, Any

from django.db import transaction
from pydantic import Field

from compliance.approvals.registry import (
    ActionPayload,
    DisplayedField,
    Target,
    Warrant,
    register_action,
    require_execution,
)
from fundops.core import clock
from fundops.core.events import publish
from fundops.core.models import User
from treasury.actions.books import open_book
from treasury.actions.ledger import post_entry
from treasury.errors import PoolError, UnknownAssetError, UnknownFundError
from treasury.models import Asset, BankrollPool, BankrollSlice, Book, BookKind, EntryKind, Fund
from treasury.postings import Source, contribution, draw, release
from treasury.refusals import refusals
from treasury.selectors import book_accounts, free_cash

SET_POOL = "treasury.set_pool"


@dataclass(frozen=True, slots=True)
class Follower:
    """The layer that works with slices' cash, called inside the transaction that would grow them.

    `within` says how much of each growth it lets through, in order; `can_grow` whether a slice can use more;
    `take_over` hears how much more it has; `bound_by` names what holds a slice's growth, for who signs (or nothing).
    """

    can_grow: Callable[[BankrollSlice], bool]
    take_over: Callable[[BankrollSlice, Decimal], None]
    within: Callable[[Sequence[tuple[BankrollSlice, Decimal]]], list[Decimal]]
    bound_by: Callable[[BankrollSlice], str]


_followers: list[Follower] = []
SLICING_KINDS = ("trading.deploy", "trading.promote")
CENT = Decimal("0.01")
POOL_CODE = "micro-live"

Money = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=20, decimal_places=2)]
Share = Annotated[Decimal, Field(gt=0, le=1, allow_inf_nan=False, max_digits=6, decimal_places=4)]


def follow_slices(follower: Follower) -> None:
    """Registers who takes a slice's new cash over; called once, at start-up."""
    if follower not in _followers:
        _followers.append(follower)


class SetPool(ActionPayload):
    """The pool of one fund in one asset, as it shall be; open slices follow its size."""

    fund: str = Field(max_length=40, description="The fund's code.")
    asset: str = Field(max_length=40, description="The asset's code.")
    capacity: Money = Field(description="What the pool is, handed out or not.")
    slice_frac: Share = Field(default=Decimal("0.05"), description="A slice, of the capacity.")
    slice_minimum: Money = Field(default=Decimal(50), description="No slice is smaller.")
    source_cap_frac: Share = Field(default=Decimal("0.25"), description="All slices of one cohort, of the capacity.")
    market_cap_frac: Share = Field(default=Decimal("0.50"), description="Exposure in one market, of the capacity.")


def slice_amount(*, capacity: Decimal, slice_frac: Decimal, slice_minimum: Decimal) -> Decimal:
    """What a slice is: the policy's share of the bankroll, at least its minimum, down to the cent."""
    return max(slice_minimum, (capacity * slice_frac).quantize(CENT, rounding=ROUND_DOWN))


def pool_slice_amount(pool: BankrollPool) -> Decimal:
    """What a new slice of this pool is."""
    return slice_amount(capacity=pool.capacity, slice_frac=pool.slice_frac, slice_minimum=pool.slice_minimum)


def _parties(payload: SetPool) -> tuple[Fund, Asset]:
    fund = Fund.objects.filter(code=payload.fund).first()
    if fund is None:
        raise UnknownFundError(f"There is no fund {payload.fund}.", fund=payload.fund)
    asset = Asset.objects.filter(code=payload.asset).first()
    if asset is None:
        raise UnknownAssetError(f"There is no asset {payload.asset}.", asset=payload.asset)
    return fund, asset


def _pool(payload: SetPool) -> BankrollPool | None:
    return (
        BankrollPool.objects.select_related("fund", "asset", "book")
        .filter(fund__code=payload.fund, asset__code=payload.asset)
        .first()
    )


def _render(payload: SetPool) -> Sequence[DisplayedField]:
    _parties(payload)
    now = _pool(payload)
    fields = [
        DisplayedField("Pool", str(now) if now else "none", f"{payload.fund} pool of {payload.asset}"),
        DisplayedField("Capacity", f"{now.capacity:f}" if now else "", f"{payload.capacity:f} {payload.asset}"),
        DisplayedField("A slice", f"{pool_slice_amount(now):f}" if now else "", f"{_slice_of(payload):f}"),
    ]
    for label, name in (("All of one cohort", "source_cap_frac"), ("In one market", "market_cap_frac")):
        before = f"{getattr(now, name):.2%}" if now else ""
        fields.append(DisplayedField(label, before, f"{getattr(payload, name):.2%}"))
    if now is not None:
        fields += [
            DisplayedField(f"Slice of {s.book.path}", f"{s.amount:f}", _target_shown(s, payload))
            for s in open_slices(now)
        ]
    return fields


def _slice_of(payload: SetPool) -> Decimal:
    return slice_amount(capacity=payload.capacity, slice_frac=payload.slice_frac, slice_minimum=payload.slice_minimum)


def _target_of(held: BankrollSlice, payload: SetPool) -> Decimal:
    return held.amount_in(capacity=payload.capacity, usual=_slice_of(payload), minimum=payload.slice_minimum)


def _target_shown(held: BankrollSlice, payload: SetPool) -> str:
    """What the slice shall be, and what its growth is held to when it is drawn."""
    target = _target_of(held, payload)
    bounds = [bound for follower in _followers if (bound := follower.bound_by(held))] if target > held.amount else []
    return f"{target:f}" + "".join(f", as far as the budget goes: {bound}" for bound in bounds)


def _targets(slices: Sequence[BankrollSlice], payload: SetPool) -> list[Decimal]:
    """What each slice shall be: its share of the pool, growth no further than the followers let it."""
    wanted = [_target_of(held, payload) for held in slices]
    growing = [place for place, held in enumerate(slices) if wanted[place] > held.amount]
    growth = [wanted[place] - slices[place].amount for place in growing]
    for follower in _followers:
        growth = follower.within([(slices[place], amount) for place, amount in zip(growing, growth, strict=True)])
    for place, amount in zip(growing, growth, strict=True):
        wanted[place] = slices[place].amount + amount
    return wanted


def _recheck(payload: SetPool) -> None:
    _parties(payload)
    if payload.slice_minimum <= 0:
        raise PoolError("A slice has a minimum above zero.")
    if payload.capacity and _slice_of(payload) > payload.capacity * payload.source_cap_frac:
        raise PoolError("One slice would pass the cap of its cohort: raise the cap, or lower the share or the minimum.")
    now = _pool(payload)
    if now is None:
        if payload.capacity == 0:
            raise PoolError("A pool of nothing: give it a capacity.")
        return
    slices = open_slices(now)
    if sum(_target_of(held, payload) for held in slices) > payload.capacity:
        raise PoolError(f"{len(slices)} slices are handed out and would come to more than {payload.capacity:f}.")
    shrunk = now.capacity - payload.capacity
    free = free_cash(now.book, now.asset)
    if shrunk > max(free, Decimal(0)):
        raise PoolError(f"The pool holds {free:f} that is not handed out; {shrunk:f} cannot be taken from it.")


def open_slices(pool: BankrollPool) -> list[BankrollSlice]:
    """What is handed out, oldest first."""
    return list(pool.slices.filter(released_at=None).select_related("book").order_by("pk"))


@register_action(
    kind=SET_POOL,
    title="Set up or resize a bankroll pool",
    payload=SetPool,
    maker_permission="treasury.set_pool",
    render=_render,
    recheck=_recheck,
    amount=lambda payload: payload.capacity,
    target=lambda payload: Target("treasury.fund", payload.fund, f"Bankroll pool of {payload.asset}"),
)
def set_pool(payload: SetPool, warrant: Warrant) -> Mapping[str, Any]:
    """Puts the pool's capital into its Book, or takes it out, and sets what each open slice shall be: growth is handed
    out here, a cut is handed back by the slice's desk."""
    fund, asset = _parties(payload)
    today = clock.now().date()
    rules = {name: getattr(payload, name) for name in _RULES}
    with refusals():
        # Whoever opens a Book of the fund takes this one first as well: none opens while slices grow.
        root = Book.objects.select_for_update(no_key=True).get(fund=fund, parent=None)
        pool = BankrollPool.objects.select_for_update().filter(fund=fund, asset=asset).first()
        before = pool.capacity if pool else Decimal(0)
        if pool is None:
            code = POOL_CODE if asset == fund.base_asset else f"{POOL_CODE}-{asset.code.lower()}"
            book = open_book(
                parent=root,
                code=code,
                name=f"Bankroll pool of {asset.code}",
                kind=BookKind.STRATEGY,
                opened_on=fund.opened_on,
                actor=warrant.actor,
            )
            pool = BankrollPool.objects.create(fund=fund, asset=asset, book=book, **rules)
        else:
            for name, value in rules.items():
                setattr(pool, name, value)
            pool.save(update_fields=list(rules))
        if pool.capacity != before:
            post_entry(
                fund=fund,
                value_date=today,
                kind=EntryKind.CONTRIBUTION,
                lines=contribution(book=book_accounts(pool.book), asset_id=asset.pk, amount=pool.capacity - before),
                memo=f"Bankroll pool set to {pool.capacity:f}",
                source=Source("compliance.approvalrequest", str(warrant.request_id)),
                idempotency_key=f"pool:{pool.pk}:{warrant.request_id}",
                actor=warrant.actor,
            )
        slices = open_slices(pool)
        targets = _targets(slices, payload)
        held_back = [s.pk for s, target in zip(slices, targets, strict=True) if target < _target_of(s, payload)]
        resized = [_resize(s, t, warrant=warrant, on=today) for s, t in zip(slices, targets, strict=True)]
    publish(
        "treasury.pool.set",
        actor=warrant.actor,
        obj=pool,
        payload={
            "capacity": pool.capacity,
            "before": before,
            "slices": [s.pk for s in resized if s is not None],
            "held_back": held_back,
        },
        topics=["treasury", f"book:{pool.book_id}"],
    )
    return {"pool": pool.pk, "book": pool.book.path}


_RULES = ("capacity", "slice_frac", "slice_minimum", "source_cap_frac", "market_cap_frac")


def _resize(held: BankrollSlice, target: Decimal, *, warrant: Warrant, on: date) -> BankrollSlice | None:
    """Sets what the slice shall be; growth is drawn at once, unless its experiment is ending."""
    grown = target - held.amount
    if target == held.target or (grown > 0 and not all(follower.can_grow(held) for follower in _followers)):
        return None
    held.target = target
    if grown > 0:
        _require_cash(held.pool, grown)
        held.amount = target
        _move(held, grown, key=f"slice:{held.pk}:grow:{warrant.request_id}", on=on, actor=warrant.actor)
        for follower in _followers:
            follower.take_over(held, grown)
    held.save(update_fields=["target", "amount"])
    _published(held, "treasury.slice.resized", actor=warrant.actor)
    return held


def take_slice(
    *,
    pool: BankrollPool,
    book: Book,
    source: str,
    leverage: Decimal,
    markets: Sequence[str],
    warrant: Warrant,
    amount: Decimal | None = None,
    most_frac: Decimal = Decimal(1),
) -> BankrollSlice:
    """Commits a Book its slice in the executing request's name; whoever opens the Book draws it from the pool's.

    ``amount`` left out is the policy's; ``most_frac`` is the share of the pool that it never outgrows. Raises PoolError
    when it would pass the pool, the source's cap or a market's: whoever asks at the same time waits for this one's end.
    """
    require_execution(warrant, *SLICING_KINDS)
    with refusals(), transaction.atomic():
        held = BankrollPool.objects.select_for_update().get(pk=pool.pk)
        drawn = pool_slice_amount(held) if amount is None else amount
        if drawn < held.slice_minimum:
            raise PoolError(f"A slice is at least {held.slice_minimum:f}; {drawn:f} is too little.")
        made = BankrollSlice.objects.create(
            pool=held,
            book=book,
            source=source,
            amount=drawn,
            target=drawn,
            leverage=leverage,
            markets=sorted(set(markets)),
            most_frac=most_frac,
        )
        _published(made, "treasury.slice.taken", actor=warrant.actor)
    return made


def _require_cash(pool: BankrollPool, amount: Decimal) -> None:
    """Losses of earlier slices are gone from the pool's cash whatever its capacity says."""
    free = free_cash(pool.book_id, pool.asset_id)
    if amount > free:
        raise PoolError(f"The pool holds {free:f} in cash; {amount:f} is asked for. Put capital in first.")


def hand_back(*, held: BankrollSlice, amount: Decimal, on: date, final: bool = False) -> BankrollSlice:
    """Cash from the slice's Book home to the pool: what a cut asks for, or (``final``) all there is, at the end.

    By the machine; the desk calls it where it knows the Book's cash to be free. Handing back nothing is fine.
    """
    with refusals(), transaction.atomic():
        locked = BankrollSlice.objects.select_for_update(of=("self",)).select_related("pool", "book").get(pk=held.pk)
        if locked.released_at is not None:
            return locked
        if amount < 0 or (not final and amount > locked.amount - locked.target):
            raise PoolError(f"{amount:f} is more than the slice is to hand back.")
        if amount:
            _move(locked, -amount, key=None, on=on, actor=None)
        if final:
            locked.released_at = max(clock.now(), locked.taken_at)
            locked.save(update_fields=["released_at"])
        else:
            locked.amount -= amount
            locked.save(update_fields=["amount"])
        _published(locked, "treasury.slice.released" if final else "treasury.slice.cut", actor=None, moved=amount)
    return locked


def _move(held: BankrollSlice, amount: Decimal, *, key: str | None, on: date, actor: User | None) -> None:
    build = draw if amount > 0 else release
    post_entry(
        fund=held.pool.fund,
        value_date=on,
        kind=EntryKind.DRAW if amount > 0 else EntryKind.RELEASE,
        lines=build(
            parent=book_accounts(held.pool.book),
            child=book_accounts(held.book),
            asset_id=held.pool.asset_id,
            amount=abs(amount),
        ),
        memo=f"Slice of {held.book.path}",
        source=Source("treasury.bankrollslice", str(held.pk)),
        idempotency_key=key,
        actor=actor,
    )


def _published(held: BankrollSlice, kind: str, *, actor: User | None, moved: Decimal | None = None) -> None:
    publish(
        kind,
        actor=actor,
        obj=held,
        payload={
            "book": held.book.path,
            "source": held.source,
            "amount": held.amount,
            "target": held.target,
            "moved": moved,
            "leverage": held.leverage,
            "markets": held.markets,
            "most_frac": held.most_frac,
        },
        topics=["treasury", f"book:{held.book_id}"],
    )
