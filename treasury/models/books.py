"""Books: the tree that accounts, limits and budgets hang on, and the ledger accounts of each book."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth.models import AnonymousUser
from django.db import models
from django.db.models import Q
from guardian.shortcuts import get_objects_for_user

from treasury.models.funds import CODE_VALIDATOR, Fund

if TYPE_CHECKING:
    from fundops.core.models import User

PATH_SEPARATOR = "/"


class BookKind(models.TextChoices):
    FUND = "fund", "Fund"
    STRATEGY = "strategy", "Strategy"
    DEPLOYMENT = "deployment", "Deployment"
    COHORT = "cohort", "Cohort"
    AGENT = "agent", "Agent"


class AccountKind(models.TextChoices):
    """What an account is for. Signs: what the book has is positive, what it came from is negative."""

    CASH = "cash", "Cash"
    POSITION = "position", "Positions"
    TRADING = "trading", "Trading (conversion)"
    CAPITAL = "capital", "Capital received"
    BANKROLL = "bankroll", "Bankroll handed to child books"
    FEES = "fees", "Fees paid"
    FUNDING = "funding", "Funding paid or received"


#: Kinds whose balances, times price, are the equity of a book.
EQUITY_KINDS = (AccountKind.CASH, AccountKind.POSITION)


class BookQuerySet(models.QuerySet["Book"]):
    def for_user(self, user: User | AnonymousUser) -> BookQuerySet:
        """All of them by role; else those granted, all below them, and those of granted funds."""
        if not user.is_authenticated:
            return self.none()
        if user.has_perm("treasury.view_book"):
            return self
        return self.granted_to(user)

    def granted_to(self, user: User | AnonymousUser) -> BookQuerySet:
        """The Books granted one by one, all below them, and those of granted funds, whatever roles let see."""
        if not user.is_authenticated:
            return self.none()
        funds = Fund.objects.granted_to(user)
        books = get_objects_for_user(user, "treasury.view_book", Book, accept_global_perms=False)
        visible = Q(fund__in=funds.values("pk"))
        for path in books.values_list("path", flat=True):
            visible |= Q(path=path) | Q(path__startswith=path + PATH_SEPARATOR)
        return self.filter(visible)

    def below(self, book: Book, *, include_self: bool = True) -> BookQuerySet:
        """The books under ``book`` at any depth, by the path."""
        within = Q(path__startswith=book.path + PATH_SEPARATOR)
        return self.filter(within | Q(pk=book.pk) if include_self else within)


class Book(models.Model):
    """A node of ``Fund -> strategy -> deployment or cohort -> agent``.

    Place and code never change and nothing is deleted (the database sees to it); a book closes once.
    """

    fund = models.ForeignKey(Fund, on_delete=models.PROTECT, related_name="books")
    parent = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="children")
    code = models.CharField(max_length=64, validators=[CODE_VALIDATOR])
    name = models.CharField(max_length=160)
    kind = models.CharField(max_length=12, choices=BookKind)
    path = models.CharField(max_length=400, unique=True, help_text="Codes from the root down, joined by '/'.")
    opened_on = models.DateField(help_text="First value date the book accepts.")
    closed_at = models.DateTimeField(null=True, blank=True)

    objects = BookQuerySet.as_manager()

    class Meta:
        ordering = ("path",)
        permissions = [
            ("open_book", "Can ask for funds and books to be opened"),
            ("close_book", "Can ask for books to be closed"),
        ]
        constraints = [
            models.CheckConstraint(name="treasury_book_kind_known", condition=Q(kind__in=[k.value for k in BookKind])),
            models.CheckConstraint(
                name="treasury_book_root_is_fund",
                condition=Q(parent__isnull=True, kind=BookKind.FUND)
                | (Q(parent__isnull=False) & ~Q(kind=BookKind.FUND)),
            ),
            models.UniqueConstraint(name="treasury_book_one_root", fields=["fund"], condition=Q(parent__isnull=True)),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def is_open(self) -> bool:
        return self.closed_at is None


class LedgerAccountQuerySet(models.QuerySet["LedgerAccount"]):
    def for_user(self, user: User | AnonymousUser) -> LedgerAccountQuerySet:
        return self.filter(book__in=Book.objects.for_user(user))


class LedgerAccount(models.Model):
    """One account of a book; it holds every asset, so a balance is an amount per account and asset."""

    append_only = True

    book = models.ForeignKey(Book, on_delete=models.PROTECT, related_name="accounts")
    kind = models.CharField(max_length=12, choices=AccountKind)

    objects = LedgerAccountQuerySet.as_manager()

    class Meta:
        ordering = ("book", "kind")
        constraints = [
            models.UniqueConstraint(name="treasury_account_one_a_kind", fields=["book", "kind"]),
            models.CheckConstraint(
                name="treasury_account_kind_known", condition=Q(kind__in=[k.value for k in AccountKind])
            ),
        ]

    def __str__(self) -> str:
        return f"account {self.pk} ({self.kind})"
