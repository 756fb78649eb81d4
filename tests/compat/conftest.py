"""The servers of tests/programs, for libraries that run on corolib under the name of gevent."""

import pytest

pytest.register_assert_rewrite("compat.standing_in")
from programs.conftest import http, postgres, redis_server  # noqa: E402  # fixtures; after the line above

__all__ = ["http", "postgres", "redis_server"]
