"""What libraries in use take from gevent and greenlet by name, private names among it, is there."""

import importlib
from collections.abc import Iterator
from typing import Any

import pytest

from corolib import compat

#: Who uses it -> module:attribute, attributes of attributes with dots.
USED = {
    "gunicorn": """gevent.pool:Pool.free_count gevent.server:StreamServer.max_accept gevent.hub:reinit
        gevent.monkey:patch_all gevent.socket:socket gevent.pywsgi:WSGIHandler.log_request
        gevent.pywsgi:WSGIHandler.get_environ gevent:Timeout gevent:GreenletExit""",
    "celery, kombu": """gevent.signal:signal gevent:Greenlet.spawn_later gevent:Greenlet.link
        gevent:spawn_raw gevent:kill gevent.exceptions:ConcurrentObjectUseError greenlet:getcurrent""",
    "locust, geventhttpclient": """gevent.queue:LifoQueue gevent:fork gevent:signal_handler
        gevent.pool:Group.killone gevent.ssl:create_default_context gevent.ssl:_create_unverified_context
        gevent.ssl:CERT_NONE gevent.socket:create_connection gevent.socket:SOL_TCP gevent.socket:error
        gevent.lock:DummySemaphore gevent.lock:BoundedSemaphore gevent.ssl:SSLSocket""",
    "psycogreen, psycopg, pyzmq": """gevent.socket:wait_read gevent.socket:wait_write
        gevent.monkey:is_module_patched gevent.event:AsyncResult.set_exception gevent:Timeout.start_new
        gevent.select:select gevent.core:READ gevent.core:WRITE""",
    "engineio, gevent-websocket": """gevent.selectors:DefaultSelector gevent.selectors:EVENT_READ
        gevent.queue:JoinableQueue gevent.pywsgi:WSGIHandler.run_application
        gevent.pywsgi:WSGIHandler.start_response gevent.pywsgi:WSGIHandler.process_result
        gevent.pywsgi:WSGIHandler.write gevent.pywsgi:WSGIHandler.format_request""",
    "sentry, ddtrace, newrelic": """gevent.monkey:is_object_patched gevent.monkey:get_original
        gevent.threadpool:ThreadPool.spawn gevent.hub:Hub gevent.greenlet:Greenlet gevent.pool:IMap
        gevent.pool:IMapUnordered gevent.pool:Greenlet gevent.pool:Group.greenlet_class gevent._imap:Greenlet
        gevent._imap:IMap gevent._imap:IMapUnordered gevent.hub:Hub.switch gevent.hub:spawn_raw
        gevent.hub:sleep gevent.thread:get_ident gevent.monkey:patch_thread greenlet:settrace
        greenlet:gettrace greenlet:greenlet.dead.__get__ greenlet:greenlet.gr_frame""",
    "baseplate, dramatiq, elastic-apm": """gevent.events:subscribers gevent.events:EventLoopBlocked
        gevent:config.max_blocking_time gevent.pywsgi:LoggingLogAdapter
        gevent.timeout:Timeout._on_expiration""",
    "uwsgi, grpc": "gevent:version_info gevent:get_hub gevent.hub:Hub.wait gevent.pool:Group.spawn",
    "gipc, geventmp": """gevent.hub:set_hub gevent.os:make_nonblocking gevent.os:nb_read gevent.os:nb_write
        gevent.os:tp_read gevent.os:tp_write gevent.os:_read gevent.os:ignored_errors gevent.os:_watch_child
        gevent.monkey:saved gevent.monkey._state:saved gevent.monkey.api:patch_module
        gevent.util:assert_switches gevent.util:format_run_info gevent.selectors:GeventSelector""",
    "zerorpc, kazoo, execnet, bottle": """gevent.queue:Channel.next gevent.thread:allocate_lock
        gevent.lock:RLock gevent.fileobject:FileObject gevent.local:local gevent.subprocess:Popen""",
    "asyncio-gevent": """gevent._interfaces:ILoop gevent._interfaces:IWatcher gevent._interfaces:ICallback
        gevent:Greenlet.link_value""",
    "others": """gevent.hub:_get_hub_noargs gevent._hub_local:get_hub_noargs gevent._waiter:Waiter
        gevent._semaphore:Semaphore gevent.ssl:SSLContext.sslsocket_class gevent:Greenlet._run
        gevent._abstract_linkable:AbstractLinkable gevent.socket:EWOULDBLOCK gevent._config:config""",
}


@pytest.fixture(autouse=True)
def installed() -> Iterator[None]:
    compat.install()
    yield
    compat.uninstall()


def find(path: str) -> Any:
    module, _, attributes = path.partition(":")
    found: Any = importlib.import_module(module)
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


@pytest.mark.parametrize("who", USED)
def test_what_others_use_is_there(who: str) -> None:
    missing = []
    for path in USED[who].split():
        try:
            find(path)
        except (ImportError, AttributeError) as error:
            missing.append((path, str(error)))
    assert missing == []


def test_the_test_above_would_find_what_is_missing() -> None:
    with pytest.raises(AttributeError):
        find("gevent.pool:Pool.nonsense")
    with pytest.raises(ImportError):
        find("gevent.nonsense:name")
