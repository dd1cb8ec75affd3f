"""PostgreSQL and Redis out of Python wheels, and the small supervisors that keep them and the product's
processes.

For laptops, demos and tests: production sets ``DATABASE_URL`` and ``REDIS_URL`` and nothing here ever starts.
Plain Python on Linux, no Django. ``python -m fundops.embedded --help`` is the way in for people.
"""

from fundops.embedded.client import ensure_services, release_services
from fundops.embedded.errors import EmbeddedError
from fundops.embedded.layout import ServiceUrls

__all__ = ["EmbeddedError", "ServiceUrls", "ensure_services", "release_services"]
