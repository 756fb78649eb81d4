"""Sockets that close themselves at the end of a test."""

import pytest
from ends import listen, tcp_pair


@pytest.fixture
def pair():
    client, server = tcp_pair()
    yield client, server
    client.close()
    server.close()


@pytest.fixture
def listener():
    sock = listen()
    yield sock
    sock.close()
