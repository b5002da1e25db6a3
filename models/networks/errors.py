"""What can be wrong with a network that is asked for."""


class NetworkError(ValueError):
    """A network that cannot be built, or a window it was not built for."""
