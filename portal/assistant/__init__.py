"""The assistant: a line of plain words becomes a typed intent, is shown back as a form, and only then does anything."""
