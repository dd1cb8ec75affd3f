"""The gate for change: what may be asked, how it is signed, who must agree, and how it is done once."""
