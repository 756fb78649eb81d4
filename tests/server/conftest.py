"""The ways in which a handler serves requests."""

from typing import Any

import pytest

from corolib.pywsgi import WSGIHandler, WSGIServer


class ByMethods(WSGIHandler):
    """Overrides what makes an ordinary request go through all methods, except for an answer of one piece."""

    def get_environ(self) -> dict[str, Any]:
        return super().get_environ()


class InSteps(ByMethods):
    """Overrides what makes each answer go through all methods, too."""

    def finalize_headers(self) -> None:
        super().finalize_headers()


@pytest.fixture(
    params=[
        pytest.param(WSGIHandler, id="ordinary"),
        pytest.param(ByMethods, id="by methods", marks=(pytest.mark.slow, pytest.mark.ci)),
        pytest.param(InSteps, id="in steps", marks=(pytest.mark.slow, pytest.mark.ci)),
    ]
)
def every_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test runs with each kind of handler, unless it has one of its own."""
    monkeypatch.setattr(WSGIServer, "handler_class", request.param)
