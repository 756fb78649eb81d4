"""The servers of tests/programs, for libraries that run on corolib under the name of gevent."""

import os

import pytest

pytest.register_assert_rewrite("compat.standing_in")
from compat.libraries import Results  # noqa: E402  # after the line above
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


def pytest_configure(config: pytest.Config) -> None:
    if os.environ.get("COROLIB_LIBRARIES_TABLE") == "1":
        config.pluginmanager.register(Results(), "libraries-table")
