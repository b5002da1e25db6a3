"""The configurations and the model set of the daemon's own tests."""

from tests.daemon.conftest import configure, model_root

__all__ = ["configure", "model_root"]
