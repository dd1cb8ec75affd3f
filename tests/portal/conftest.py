"""What the page tests share: the fund and the written source of the risk tests."""

from tests.risk.conftest import now, source, tree

__all__ = ["now", "source", "tree"]
