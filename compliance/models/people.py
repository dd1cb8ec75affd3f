"""People behind accounts: who made, who checked and who released is asked of the person, never of the
account."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords

from fundops.core.models import User


class Person(models.Model):
    """One human being, by a reference that nobody else has (a staff number, an identity document)."""

    reference = models.CharField(max_length=80, unique=True)
    full_name = models.CharField(max_length=160)

    history = HistoricalRecords()

    class Meta:
        default_permissions = ("view",)
        permissions = [
            ("link_account", "Can say which person an account belongs to"),
            ("merge_people", "Can ask for two records to be declared one person"),
            ("propose_access", "Can ask for roles and other access of accounts"),
        ]
        constraints = [models.CheckConstraint(condition=~Q(reference=""), name="compliance_person_has_reference")]

    def __str__(self) -> str:
        return self.full_name


class PersonAccount(models.Model):
    """Whose account it is. Said once and for all: an account that could change hands could approve itself."""

    append_only: ClassVar[bool] = True

    account = models.OneToOneField(User, on_delete=models.PROTECT, related_name="person_link")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="accounts")
    linked_by = models.ForeignKey(User, null=True, on_delete=models.PROTECT, related_name="+")
    linked_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"account {self.account_id} of person {self.person_id}"


class PersonMerge(models.Model):
    """Two records are of one human being: ``same_as`` stands for it from then on. Declared by a request, for good."""

    append_only: ClassVar[bool] = True

    person = models.OneToOneField(Person, on_delete=models.PROTECT, related_name="merge")
    same_as = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="merged")
    request = models.OneToOneField("compliance.ApprovalRequest", on_delete=models.PROTECT, related_name="merge_made")
    merged_at = models.DateTimeField()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(condition=~Q(person=models.F("same_as")), name="compliance_merge_of_two"),
        ]

    def __str__(self) -> str:
        return f"person {self.person_id} is person {self.same_as_id}"


class DelegationQuerySet(models.QuerySet["Delegation"]):
    def in_force(self, since: datetime, until: datetime) -> DelegationQuerySet:
        """Those in force at some moment from ``since`` to ``until``."""
        return self.filter(Q(ends_at=None) | Q(ends_at__gt=since), starts_at__lte=until)


class Delegation(models.Model):
    """Someone acts for someone else; a maker's delegate is no second pair of eyes."""

    principal = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="delegations")
    delegate = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="delegated")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()
    objects = DelegationQuerySet.as_manager()

    class Meta:
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=~Q(principal=models.F("delegate")), name="compliance_delegation_to_another"
            ),
            models.CheckConstraint(
                condition=Q(ends_at=None) | Q(ends_at__gte=models.F("starts_at")),
                name="compliance_delegation_ordered",
            ),
        ]

    def __str__(self) -> str:
        return f"delegation {self.pk}"
