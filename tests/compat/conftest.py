"""The servers of tests/programs, for libraries that run on corolib under the name of gevent."""

import pytest

pytest.register_assert_rewrite("compat.standing_in")
from programs.conftest import (  # noqa: E402  # fixtures; after the line above
    authority,
    http,
    mariadb,
    postgres,
    redis_server,
    smtp,
    sshd,
)

__all__ = ["authority", "http", "mariadb", "postgres", "redis_server", "smtp", "sshd"]
