"""What lists can be narrowed by."""

from __future__ import annotations

import datetime

import django_filters
from django.db.models import DateField, DurationField, ExpressionWrapper, F, QuerySet

from trading.models.cohort import AgentDay, Cohort, CohortFill, CohortMode, CohortStatus


class CohortFilter(django_filters.FilterSet):
    """`?date=2025-05-11` finds the cohorts whose window holds that day."""

    date = django_filters.DateFilter(method="on_day", label="A day of its window (UTC)")
    bankroll = django_filters.NumberFilter()
    bankroll_min = django_filters.NumberFilter(field_name="bankroll", lookup_expr="gte")
    bankroll_max = django_filters.NumberFilter(field_name="bankroll", lookup_expr="lte")
    status = django_filters.MultipleChoiceFilter(choices=CohortStatus.choices)
    mode = django_filters.ChoiceFilter(choices=CohortMode.choices)
    venue = django_filters.CharFilter()
    name = django_filters.CharFilter(lookup_expr="icontains")

    class Meta:
        model = Cohort
        fields = ["date", "bankroll", "bankroll_min", "bankroll_max", "status", "mode", "venue", "name"]

    def on_day(self, cohorts: QuerySet[Cohort], _name: str, day: datetime.date) -> QuerySet[Cohort]:
        end = ExpressionWrapper(
            F("start") + ExpressionWrapper(F("days") * datetime.timedelta(days=1), output_field=DurationField()),
            output_field=DateField(),
        )
        return cohorts.filter(start__lte=day).alias(window_end=end).filter(window_end__gt=day)


class AgentDayFilter(django_filters.FilterSet):
    family = django_filters.CharFilter(field_name="agent__family")
    symbol = django_filters.CharFilter(field_name="agent__symbol")
    day = django_filters.NumberFilter()

    class Meta:
        model = AgentDay
        fields = ["day", "family", "symbol"]


class FillFilter(django_filters.FilterSet):
    agent = django_filters.NumberFilter(field_name="agent__number")
    symbol = django_filters.CharFilter()
    side = django_filters.CharFilter()
    reason = django_filters.CharFilter()
    after = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    before = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = CohortFill
        fields = ["agent", "symbol", "side", "reason", "after", "before"]
