"""What the pages of the gate show: what waits for whom, what changes, who may do what now, and why not."""
