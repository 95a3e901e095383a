from tests.api.conftest import cloud

__all__ = ["cloud"]
