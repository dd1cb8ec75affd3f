"""The desk: from a bar's close to orders at a venue, one deployment at a time, many at once.

`sizing` and `council` are pure; `loaded` holds a deployment in memory; `cycle` works one bar; `drive` finds what is due
and holds the lease.
"""
