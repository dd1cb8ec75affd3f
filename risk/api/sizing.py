"""`/api/risk/sizing/`: the sizing rule, worked for the figures given."""

from __future__ import annotations

import math
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from risk.exposure_room import exposure_room
from risk.quant.sizing import kelly_fraction, size_position
from treasury.models import Book

HIGHEST = 1e15


class SizingAskedSerializer(serializers.Serializer[Any]):
    """Rates are of one period, say a year, all of them of the same."""

    equity = serializers.FloatField(min_value=0, max_value=HIGHEST)
    volatility = serializers.FloatField(min_value=0, max_value=1_000, help_text="Of the position, as a fraction.")
    expected_return = serializers.FloatField(min_value=-1_000, max_value=1_000, help_text="In the trade's direction.")
    target_volatility = serializers.FloatField(min_value=0, max_value=1_000, default=0.3)
    kelly_share = serializers.FloatField(min_value=0.01, max_value=1, default=0.5)
    exposure_headroom = serializers.FloatField(
        min_value=0, max_value=HIGHEST, required=False, help_text="Money left below the cap; left out, the book's."
    )
    book = serializers.CharField(
        max_length=400, required=False, help_text="Whose limits on gross exposure cap it; left out, none do."
    )

    def to_internal_value(self, data: Any) -> Any:
        given = super().to_internal_value(data)
        for name, value in given.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValidationError({name: ["Give a number."]})
        return given


class SizingSerializer(serializers.Serializer[Any]):
    """Null is not known: trade nothing then. A null headroom is no cap."""

    notional = serializers.FloatField(allow_null=True)
    fraction = serializers.FloatField(allow_null=True, help_text="Of the equity.")
    binding = serializers.CharField()
    kelly = serializers.FloatField(allow_null=True, help_text="The full Kelly share.")
    exposure_headroom = serializers.FloatField(allow_null=True)


class SizingView(APIView):
    """A volatility target, a Kelly ceiling, then the exposure cap: what binds, and the size that is left."""

    permission = "risk.view_risklimit"

    @extend_schema(parameters=[SizingAskedSerializer], responses=SizingSerializer)
    def get(self, request: Request) -> Response:
        asked = SizingAskedSerializer(data=request.query_params)
        asked.is_valid(raise_exception=True)
        given = dict(asked.validated_data)
        room = given.pop("exposure_headroom", None)
        path = given.pop("book", "")
        if path:
            book = Book.objects.for_user(request.user).filter(path=path).first()
            if book is None:
                raise ValidationError({"book": ["There is no such book."]})
            room = exposure_room(book) if room is None else min(room, exposure_room(book))
        headroom = math.inf if room is None else float(room)
        size = size_position(**given, exposure_headroom=headroom)
        found = {
            "notional": _known(size.notional),
            "fraction": _known(size.fraction),
            "binding": size.binding.value,
            "kelly": _known(kelly_fraction(given["expected_return"], given["volatility"])),
            "exposure_headroom": _known(headroom),
        }
        return Response(SizingSerializer(found).data)


def _known(x: float) -> float | None:
    return x if math.isfinite(x) else None
