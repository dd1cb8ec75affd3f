"""Form controls in the look of the product."""

from __future__ import annotations

from django import forms, template
from django.forms import BoundField
from django.utils.safestring import SafeString

register = template.Library()


@register.filter
def is_group(field: BoundField) -> bool:
    """Whether a field is several boxes or buttons, each with a label of its own."""
    return isinstance(field.field.widget, forms.RadioSelect)


@register.filter
def control(field: BoundField) -> SafeString:
    """The field's widget with the right classes, and tied to its errors for screen readers."""
    widget = field.field.widget
    if isinstance(widget, forms.CheckboxInput):
        css = "form-check-input"
    elif isinstance(widget, forms.Select):
        css = "form-select"
    else:
        css = "form-control"
    attrs: dict[str, str | bool] = {"class": f"{widget.attrs.get('class', '')} {css}".strip()}
    if field.errors:
        attrs |= {"aria-invalid": "true", "aria-describedby": f"{field.auto_id}_error"}
    return SafeString(field.as_widget(attrs=attrs))
