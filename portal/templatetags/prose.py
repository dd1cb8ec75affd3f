"""Words that come with a little markup of their own: **strong**, *emphasis* and `code`, nothing else."""

from __future__ import annotations

import re

from django import template
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString

register = template.Library()

_MARKS = (
    (re.compile(r"`([^`]+)`"), r"<code>\1</code>"),
    (re.compile(r"\*\*([^*]+)\*\*"), r"<strong>\1</strong>"),
    (re.compile(r"\*([^*\s][^*]*)\*"), r"<em>\1</em>"),
)


@register.filter
def inline_markdown(text: str) -> SafeString:
    """Escaped first, marked up after: whatever the text holds, only these three elements come of it."""
    escaped = str(conditional_escape(text))
    for pattern, markup in _MARKS:
        escaped = pattern.sub(markup, escaped)
    return SafeString(escaped)
