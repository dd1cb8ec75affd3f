"""PDF from templates: the same words and figures as a page, for paper and for files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse
from django.template.loader import render_to_string

from fundops.core import clock


def pdf_response(template: str, context: Mapping[str, Any], *, name: str) -> HttpResponse:
    """The template as a PDF to save. It reads nothing from the network or the disk but its fonts."""
    from weasyprint import HTML  # noqa: PLC0415 - half a second and 40 MB, for those who print alone
    from weasyprint.urls import URLFetcher  # noqa: PLC0415

    html = render_to_string(template, {**context, "printed_at": clock.now()})
    document = HTML(string=html, url_fetcher=URLFetcher(allowed_protocols=("data",))).write_pdf()
    return HttpResponse(
        document, content_type="application/pdf", headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
