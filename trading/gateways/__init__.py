"""Gateways to venues: one protocol, the paper venue behind it today."""
