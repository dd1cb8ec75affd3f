"""Screening: which instruments may be traded at all, and which patterns of orders may not be placed."""
