"""`/api/trials/`: what was tried outside of cohorts, and counts where a cohort of that window is reviewed."""

from __future__ import annotations

from typing import ClassVar

import django_filters
from django.db.models import QuerySet
from rest_framework import serializers

from fundops.core.api_lists import ReadViewSet
from fundops.core.permissions import for_user
from trading.models.trials import TrialKind, TrialSet

READ = "trading.view_trialset"


class TrialSetSerializer(serializers.ModelSerializer[TrialSet]):
    """Sharpe ratios are per hour and after costs; ``sets`` are distinct genomes, ``measured`` those with a ratio."""

    run_by = serializers.CharField(source="run_by.username", read_only=True)

    class Meta:
        model = TrialSet
        fields = (
            "id", "kind", "family", "profile", "venue", "symbols", "interval", "start", "end", "sets", "measured",
            "hours", "sharpe_best", "sharpe_mean", "sharpe_variance", "costs", "leverage", "synthetic", "data_sha256",
            "content_hash", "run_by", "at",
        )  # fmt: skip


class TrialSetFilter(django_filters.FilterSet):
    """`?after=` and `?before=`: sets whose window overlaps that span."""

    kind = django_filters.ChoiceFilter(choices=TrialKind.choices)
    symbol = django_filters.CharFilter(method="with_symbol")
    after = django_filters.IsoDateTimeFilter(field_name="end", lookup_expr="gt")
    before = django_filters.IsoDateTimeFilter(field_name="start", lookup_expr="lt")

    class Meta:
        model = TrialSet
        fields: ClassVar = ("kind", "family", "venue", "interval")

    def with_symbol(self, queryset: QuerySet[TrialSet], _name: str, value: str) -> QuerySet[TrialSet]:
        return queryset.filter(symbols__contains=[value])


class TrialSetViewSet(ReadViewSet[TrialSet]):
    """Backtests and sweeps that were run, the newest first."""

    serializer_class = TrialSetSerializer
    filterset_class = TrialSetFilter
    ordering_fields = ("at", "start", "sets", "sharpe_best")
    permission = READ

    def get_queryset(self) -> QuerySet[TrialSet]:
        return for_user(TrialSet.objects.select_related("run_by").defer("genomes"), self.request.user, READ)
