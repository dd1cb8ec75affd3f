"""Benchmarks that print ratios against a peer or a bare reference measured in the same run."""
