"""What the portal itself remembers: what was said to the assistant and by it, and what the fund has learned."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from fundops.core import clock


class Speaker(models.TextChoices):
    PERSON = "person", "Person"
    ASSISTANT = "assistant", "Assistant"


class Outcome(models.TextChoices):
    """What a line led to. Only CONFIRMED started anything."""

    SAID = "said", "Said"
    QUESTION = "question", "Asked back"
    ANSWER = "answer", "Answered"
    PROPOSAL = "proposal", "Proposed"
    REFUSED = "refused", "Refused"
    CONFIRMED = "confirmed", "Started"
    REPORT = "report", "Reported"


class AssistantMessage(models.Model):
    """One line of a person's conversation with the assistant; what was proposed, and what was started from it."""

    append_only: ClassVar[bool] = True

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="assistant_messages")
    at = models.DateTimeField(default=clock.now)
    speaker = models.CharField(max_length=10, choices=Speaker)
    outcome = models.CharField(max_length=10, choices=Outcome)
    text = models.CharField(max_length=2000)
    intent = models.CharField(max_length=24, blank=True)
    content = models.JSONField(default=dict, help_text="The intent's terms, the plan, or the answer's figures.")
    cohort = models.ForeignKey("trading.Cohort", on_delete=models.PROTECT, null=True, related_name="+")
    key = models.CharField(max_length=120, unique=True, null=True, help_text="The event a report tells of; told once.")  # noqa: DJ001 - null is not unique

    class Meta:
        ordering = ("pk",)
        constraints = [models.CheckConstraint(name="portal_message_key_not_empty", condition=~models.Q(key=""))]
        default_permissions = ()
        permissions = [("use_assistant", "Can talk to the assistant")]
        indexes = [models.Index(fields=["user", "-at"], name="portal_messages_of_user")]

    def __str__(self) -> str:
        return f"{self.speaker} {self.pk}"


class KnowledgeKind(models.TextChoices):
    COHORT = "cohort", "Cohorts"
    DECISION = "decision", "Decisions"
    BANKROLL = "bankroll", "Bankroll"
    LEVERAGE = "leverage", "Leverage"
    RECOMMENDATION = "recommendation", "Recommendations"


class KnowledgeEntry(models.Model):
    """One thing the fund knows now and did not before, in plain words with its figures."""

    append_only: ClassVar[bool] = True

    key = models.CharField(max_length=120, unique=True, help_text="The event it tells of; told once.")
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=KnowledgeKind)
    title = models.CharField(max_length=200)
    words = models.TextField()
    figures = models.JSONField(default=dict)
    cohort = models.ForeignKey("trading.Cohort", on_delete=models.PROTECT, null=True, related_name="knowledge")
    review = models.ForeignKey("trading.PromotionReview", on_delete=models.PROTECT, null=True, related_name="knowledge")
    deployment = models.ForeignKey("trading.Deployment", on_delete=models.PROTECT, null=True, related_name="knowledge")

    class Meta:
        ordering = ("-at", "-pk")
        default_permissions = ()
        permissions = [("view_knowledge", "Can read the knowledge history")]
        indexes = [models.Index(fields=["kind", "-at"], name="portal_knowledge_by_kind")]

    def __str__(self) -> str:
        return self.title
