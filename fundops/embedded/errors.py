"""What can go wrong with the embedded services, each told so that a person can act on it."""


class EmbeddedError(Exception):
    """The embedded services cannot do what was asked; the message says why and what to do."""
