"""The page about approvals names every kind that passes the gate, with the rules it ships with."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from django.apps import apps
from django.conf import settings

from compliance.approvals.defaults import FILE_NAME
from compliance.approvals.registry import registered_actions

ROWS = [
    line
    for line in (Path(settings.BASE_DIR) / "docs" / "approvals.md").read_text().splitlines()
    if line.startswith("| `")
]


@pytest.mark.parametrize("kind", [a.kind for a in registered_actions() if not a.kind.startswith("test.")])
def test_the_table_names_the_kind(kind: str) -> None:
    (row,) = [line for line in ROWS if f"`{kind}`" in line.split("|")[1]]
    files = [Path(config.path) / FILE_NAME for config in apps.get_app_configs()]
    shipped = {k: v for path in files if path.is_file() for k, v in yaml.safe_load(path.read_text())["kinds"].items()}
    assert row.split("|")[3].strip() == shipped.get(kind, "the founding policy")
