"""The core's writes: accounts and their roles."""
