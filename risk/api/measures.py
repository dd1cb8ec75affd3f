"""`/api/risk/measures/`: what the risk overview shows of one Book, as numbers. Null is not known, with its reason."""

from __future__ import annotations

import math
from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from risk import overview
from risk.api.views import asked_book
from risk.overview import BookRisk
from risk.quant.backtests import Zone
from risk.quant.rolling import VarMethod
from treasury.models import Book

METHODS = [(m.value, m.value.replace("_", " ")) for m in VarMethod]
ZONES = [(z.value, z.value) for z in Zone]
LEVELS = [(f"{level:.4g}", f"{level:.1%}") for level in overview.LEVELS]


class KnownField(serializers.FloatField):
    """A measured figure; what is not a finite number is null."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_null=True, **kwargs)

    def to_representation(self, value: Any) -> Any:
        return float(value) if math.isfinite(value) else None


class MethodSerializer(serializers.Serializer[Any]):
    """VaR and ES of one day by one method, from `days` returns."""

    method = serializers.ChoiceField(choices=METHODS)
    var = KnownField()
    es = KnownField()
    var_frac = KnownField(help_text="Of equity.")
    es_frac = KnownField(help_text="Of equity.")
    days = serializers.IntegerField()
    reason = serializers.CharField(help_text="Why a figure is null.")


class ComponentSerializer(serializers.Serializer[Any]):
    """What one asset or one Book carries of the whole: components sum to it, shares of the ES to one."""

    name = serializers.CharField(source="label")
    book = serializers.CharField(source="book.path", allow_null=True, default=None)
    exposure = KnownField(help_text="Net of an asset, gross of a Book.")
    var = KnownField(help_text="Component VaR.")
    es = KnownField(help_text="Component ES.")
    share = KnownField(help_text="Of the ES.")
    marginal_var = KnownField(help_text="Change of the whole VaR a unit of `exposure`.")
    marginal_es = KnownField(help_text="Change of the whole ES a unit of `exposure`.")


class ComponentsSerializer(serializers.Serializer[Any]):
    days = serializers.IntegerField()
    var = KnownField()
    es = KnownField()
    reason = serializers.CharField(help_text="Why there are none.")
    by_asset = ComponentSerializer(many=True)
    by_book = ComponentSerializer(many=True, help_text="The Books directly below, and what the Book holds itself.")


class RatioTestSerializer(serializers.Serializer[Any]):
    statistic = KnownField()
    degrees = serializers.IntegerField()
    p_value = KnownField()


class VarTestsSerializer(serializers.Serializer[Any]):
    """Kupiec, Christoffersen and the traffic light over `n` days."""

    n = serializers.IntegerField()
    exceptions = serializers.IntegerField()
    expected = KnownField()
    zone = serializers.ChoiceField(source="light.zone", choices=ZONES, allow_null=True, default=None)
    plus_factor = KnownField(source="light.plus_factor", default=None)
    kupiec = RatioTestSerializer(source="pof")
    independence = RatioTestSerializer()
    conditional_coverage = RatioTestSerializer()


class EsTestSerializer(serializers.Serializer[Any]):
    """The second test of Acerbi and Szekely over `n` days."""

    n = serializers.IntegerField()
    exceptions = serializers.IntegerField()
    statistic = KnownField()
    p_value = KnownField()
    excess = KnownField(help_text="Mean loss beyond the VaR over the ES forecast for those days.")
    zone = serializers.ChoiceField(choices=ZONES, allow_null=True)


class BacktestSerializer(serializers.Serializer[Any]):
    method = serializers.ChoiceField(choices=METHODS)
    reason = serializers.CharField(help_text="Why there is none.")
    window = serializers.IntegerField(allow_null=True, help_text="Days before each forecast.")
    var = VarTestsSerializer(allow_null=True)
    es = EsTestSerializer(allow_null=True)


class BetaSerializer(serializers.Serializer[Any]):
    beta = KnownField()
    standard_error = KnownField()
    r_squared = KnownField()
    n = serializers.IntegerField()


class CorrelationSerializer(serializers.Serializer[Any]):
    """Pairwise, of the largest positions; null below 20 common days."""

    days = serializers.IntegerField()
    symbols = serializers.ListField(child=serializers.CharField())
    matrix = serializers.ListField(child=serializers.ListField(child=KnownField()))


class ExposureSerializer(serializers.Serializer[Any]):
    key = serializers.CharField()
    long = KnownField()
    short = KnownField()
    net = KnownField()
    gross = KnownField()
    positions = serializers.IntegerField()


class ExposuresSerializer(serializers.Serializer[Any]):
    by_asset = ExposureSerializer(many=True)
    by_venue = ExposureSerializer(many=True)
    by_currency = ExposureSerializer(many=True)
    by_strategy = ExposureSerializer(many=True, source="by_book", help_text="The Books directly below.")


class TimeToCloseSerializer(serializers.Serializer[Any]):
    asset = serializers.CharField()
    days = KnownField(help_text="Null where no daily volume is known.")


class LiquiditySerializer(serializers.Serializer[Any]):
    participation = KnownField(help_text="Share of the daily volume that is taken.")
    horizon_days = KnownField(help_text="Until the slowest position is closed.")
    slowest = serializers.CharField()
    positions = TimeToCloseSerializer(many=True)
    without_volume = serializers.ListField(child=serializers.CharField())


class MeasuresSerializer(serializers.Serializer[Any]):
    """One Book with all below it at one instant, money in the fund's base asset."""

    book = serializers.CharField()
    at = serializers.DateTimeField()
    base = serializers.CharField()
    equity = KnownField()
    alpha = KnownField(help_text="The level of VaR and ES: the one asked for, else the strictest that the days carry.")
    days = serializers.IntegerField(help_text="Days of returns of everything that is held.")
    problems = serializers.ListField(child=serializers.CharField(), help_text="What is not known.")
    tails = MethodSerializer(many=True)
    components = ComponentsSerializer()
    backtests = BacktestSerializer(many=True)
    volatility = KnownField(help_text="Annualised, over equity.")
    ewma_volatility = KnownField(help_text="The same, by weights that fade.")
    benchmark = serializers.CharField()
    beta = BetaSerializer(allow_null=True)
    correlation = CorrelationSerializer()
    exposure = ExposuresSerializer()
    liquidity = LiquiditySerializer()


class AskedSerializer(serializers.Serializer[Any]):
    alpha = serializers.ChoiceField(choices=LEVELS, required=False)
    method = serializers.ChoiceField(choices=METHODS, required=False)


class MeasuresView(APIView):
    """VaR and ES by every method with their backtests, who carries them, volatility, beta, correlation, exposure and
    liquidity of one Book with all below it.
    """

    permission = "risk.view_risklimit"

    @extend_schema(
        parameters=[
            OpenApiParameter("book", str, required=True, description="The Book's path."),
            OpenApiParameter("alpha", str, enum=[value for value, _ in LEVELS]),
            OpenApiParameter(
                "method", str, enum=[value for value, _ in METHODS], description="Backtests of this one alone."
            ),
        ],
        responses=MeasuresSerializer,
    )
    def get(self, request: Request) -> Response:
        asked = AskedSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        held = asked.validated_data
        risk = overview.book_risk(asked_book(request))
        alpha = float(held["alpha"]) if "alpha" in held else overview.highest_level(risk.days) or overview.LEVELS[0]
        methods = [VarMethod(held["method"])] if "method" in held else list(VarMethod)
        return Response(MeasuresSerializer(_measures(risk, alpha, methods)).data)


def _measures(risk: BookRisk, alpha: float, methods: list[VarMethod]) -> dict[str, Any]:
    children = list(Book.objects.filter(parent=risk.book, closed_at=None).order_by("path"))
    moved = overview.movement(risk)
    correlated = overview.correlations(risk)
    return {
        "book": risk.book.path,
        "at": risk.at,
        "base": risk.base,
        "equity": risk.equity,
        "alpha": alpha,
        "days": risk.days,
        "problems": risk.problems,
        "tails": overview.tails(risk, alpha),
        "components": overview.components(risk, children, alpha),
        "backtests": [_backtest(risk, alpha, method) for method in methods],
        "volatility": moved.volatility,
        "ewma_volatility": moved.ewma,
        "benchmark": moved.benchmark,
        "beta": moved.beta,
        "correlation": {
            "days": correlated.days,
            "symbols": correlated.symbols,
            "matrix": correlated.matrix.tolist(),
        },
        "exposure": overview.breakdown(risk, children),
        "liquidity": _liquidity(risk, moved),
    }


def _backtest(risk: BookRisk, alpha: float, method: VarMethod) -> dict[str, Any]:
    found = overview.backtest(risk, alpha, method)
    if isinstance(found, str):
        return {"method": method, "reason": found, "window": None, "var": None, "es": None}
    return {"method": method, "reason": "", "window": found.window, "var": found.var_tests, "es": found.es_test}


def _liquidity(risk: BookRisk, moved: overview.Movement) -> dict[str, Any]:
    found = moved.liquidity
    days = [] if found is None else found.days.tolist()
    return {
        "participation": overview.PARTICIPATION,
        "horizon_days": None if found is None or moved.without_volume else found.horizon,
        "slowest": moved.slowest,
        "positions": [{"asset": s, "days": d} for s, d in zip(risk.symbols, days, strict=False)],
        "without_volume": moved.without_volume,
    }
