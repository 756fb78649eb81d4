"""What a handler has in C: start_response(), its attributes, the way of ordinary requests."""

import gc
import weakref

import pytest

from corolib.pywsgi import WSGIHandler
from corolib.server._http import Exchange
from corolib.testing import settle

from .web import GET, answer_to, ask, connect, hello, read_answer, serving


def calling(*args, body=b"hello", **kwargs):
    """An application that calls start_response() with these arguments."""

    def application(environ, start_response):
        start_response(*args, **kwargs)
        return [body]

    return application


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("200 OK", []), {}),
        (("200 OK", [], None), {}),
        (("200 OK",), {"headers": []}),
        ((), {"status": "200 OK", "headers": [], "exc_info": None}),
        (("200 OK", []), {"exc_info": ()}),
    ],
)
def test_start_response_takes_its_arguments_by_place_or_name(args, kwargs):
    with serving(calling(*args, **kwargs)) as server:
        assert answer_to(server)[::2] == ("200 OK", b"hello")


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "needs the argument 'status'"),
        (("200 OK",), {}, "needs the argument 'headers'"),
        (("200 OK", [], None, 1), {}, "at most 3 arguments (4 given)"),
        (("200 OK", []), {"header": []}, "an unexpected argument 'header'"),
        (("200 OK", []), {"status": "200 OK"}, "twice the argument 'status'"),
        ((200, []), {}, "has to be a str, not int"),
        (("200 OK", ()), {}, "headers have to be a list, not tuple"),
    ],
)
def test_what_start_response_does_not_take(args, kwargs, message, caplog):
    with serving(calling(*args, **kwargs)) as server:
        assert answer_to(server)[0] == "500 Internal Server Error"
    assert message in caplog.text


@pytest.mark.parametrize("exc_info", [1, (1, 2, 3), (None, None), (None, None, None)])
def test_exc_info_has_to_be_one_when_it_is_too_late(exc_info):
    raised = []

    def application(environ, start_response):
        start_response("200 OK", [("Content-Length", "5")])(b"hello")
        try:
            start_response("500 Sorry", [], exc_info)
        except TypeError as error:
            raised.append(str(error))
        return []

    with serving(application) as server:
        assert answer_to(server)[::2] == ("200 OK", b"hello")
    assert raised == [f"exc_info has to be what sys.exc_info() gives, not {exc_info!r}"]


def test_headers_that_somebody_else_had_are_looked_at_again(caplog):
    """What start_response() has checked is sent as it is, unless it may have been changed since."""

    def application(environ, start_response):
        start_response("200 OK", [("X-A", "a")])
        (handler,) = server.handlers
        handler.response_headers.append(added)
        return [b"hello"]

    with serving(application) as server:
        added = ("X-B", "b")
        status, headers, _ = answer_to(server)
        assert (status, headers["x-a"], headers["x-b"]) == ("200 OK", "a", "b")
        added = ("X-B", "b\r\nX-C: c")
        assert answer_to(server)[0] == "500 Internal Server Error"
        added = None
        assert answer_to(server)[0] == "500 Internal Server Error"


def test_the_list_of_headers_is_copied():
    """A list that the application goes on using, for its next answer say, is none of ours."""
    headers = [("X-A", "a")]

    def application(environ, start_response):
        start_response("200 OK", headers)
        headers.append(("X-B", "b\r\n"))
        return [b"hello"]

    with serving(application) as server:
        assert set(answer_to(server)[1]) == {"x-a", "content-length", "date"}


def test_a_class_cannot_have_what_each_request_has():
    with pytest.raises(TypeError, match=r"Handler\.status: a handler has that of each request"):
        type("Handler", (WSGIHandler,), {"status": None})
    with pytest.raises(TypeError, match=r"Handler\.response_headers"):
        type("Handler", (WSGIHandler,), {"response_headers": property(lambda self: [])})


def test_a_handler_without_its_init_says_so():
    exchange = Exchange()
    with pytest.raises(TypeError, match="has no reader"):
        exchange.serve()
    with pytest.raises(TypeError, match="has no counters"):
        exchange._end_answer()
    assert exchange._send_at_once(b"") is False
    with pytest.raises(AttributeError, match="no response_headers before start_response"):
        exchange.response_headers


def test_attributes_before_the_first_request():
    exchange = Exchange()
    assert (exchange.status, exchange.code, exchange.environ, exchange.fresh) == (None, 0, None, True)
    assert not exchange.idle and not exchange.headers_sent and not exchange.close_connection


def test_a_connection_leaves_nothing_to_the_collector():
    class Handler(WSGIHandler):
        pass

    seen = []

    def application(environ, start_response):
        seen.append(weakref.ref(next(iter(server.handlers))))
        return hello(environ, start_response)

    gc.collect()
    gc.disable()
    try:
        with serving(application, handler_class=Handler) as server:
            client = connect(server)
            for _ in range(2):
                client.sendall(GET)
                assert read_answer(client)[0] == "200 OK"
            client.close()
            settle()
            assert [ref() for ref in seen] == [None, None]
    finally:
        gc.enable()


def test_the_collector_finds_a_handler_that_an_application_keeps():
    kept = []

    def application(environ, start_response):
        (handler,) = server.handlers
        handler.kept = [handler, start_response]
        kept.append(weakref.ref(handler))
        return hello(environ, start_response)

    with serving(application) as server:
        ask(server)
        settle()
        assert kept[0]() is not None
        gc.collect()
        assert kept[0]() is None


def test_ordinary_requests_go_through_no_method_of_a_handler():
    """The point of it. A frame of Python for each request would be seen by the application."""
    import sys

    depths = []

    def application(environ, start_response):
        frame, names = sys._getframe(1), []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        depths.append(names[:2])
        return hello(environ, start_response)

    with serving(application) as server:
        client = connect(server)
        for _ in range(2):
            client.sendall(GET)
            read_answer(client)
        client.close()
    assert depths == [["_serve_all", "handle"]] * 2
