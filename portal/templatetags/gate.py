"""How the gate's pages write kinds, states and deadlines."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.safestring import SafeString

from compliance.models import ApprovalRequest
from fundops.core import clock
from portal import tables_approvals
from portal.gate.policies import title_of
from portal.templatetags.figures import duration_text

register = template.Library()


@register.filter
def kind_title(kind: str) -> str:
    """The title of a kind of action; the kind itself when nobody registers it any more."""
    return title_of(kind)


@register.filter
def state_tag(request: ApprovalRequest) -> SafeString:
    return tables_approvals.state_tag(request)


@register.filter
def until(at: datetime | None) -> str:
    """How long from now until then, in its two largest units; "now" once it is over."""
    if at is None:
        return ""
    left = (at - clock.now()).total_seconds()
    return duration_text(left) if left >= 1 else "now"


@register.filter
def since(at: datetime | None) -> str:
    """How long ago that was."""
    if at is None:
        return ""
    past = (clock.now() - at).total_seconds()
    return duration_text(past) if past >= 60 else "less than a minute"


@register.filter
def soon(at: datetime | None) -> bool:
    """True in the last four hours before a deadline."""
    return at is not None and (at - clock.now()).total_seconds() < 4 * 3600
