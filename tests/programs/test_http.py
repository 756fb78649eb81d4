"""HTTP clients, plain and over TLS."""

import pytest
from programs.running import CROWD, needs, run_both

pytestmark = [pytest.mark.slow, pytest.mark.outside]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests(scheme, request, authority) -> None:
    needs(modules=("requests",))
    url = request.getfixturevalue(scheme)
    lines = run_both("use_requests.py", url, authority[0], CROWD).splitlines()
    together = f"'{CROWD} in flight'"
    assert lines[-1] == f"{2 * CROWD} [(0, 200, {together}), (1, 200, {together})]"
    assert ("not trusted True" in lines) == (scheme == "https")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_urllib3_and_the_standard_library_s_clients(scheme, request, authority) -> None:
    needs(modules=("urllib3",))
    url = request.getfixturevalue(scheme)
    lines = run_both("use_urllib3.py", url, authority[0], CROWD).splitlines()
    assert lines[-1] == f"{3 * CROWD} {{b'{CROWD} in flight'}}"
