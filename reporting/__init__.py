"""Reporting: performance analytics, report definitions, schedules, artifacts and packs.

Its turn comes once there is a NAV to report. It will read through the selectors of the layers below and own no truth.
"""
