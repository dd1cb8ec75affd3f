"""Every write of the risk layer; one transaction and one event each."""
