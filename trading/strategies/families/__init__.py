"""The built-in strategy families, one file each; the registry picks up every one it finds here."""
