"""What goes wrong with an embedded server, in words for the person who started it."""


class EmbeddedServerError(RuntimeError):
    """A server could not be found, started or used. The message never holds its password."""
