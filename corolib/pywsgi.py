"""The WSGI server under the name of its class: `from corolib.pywsgi import WSGIServer`.

`python -m corolib.pywsgi module:application` serves an application; see --help.
"""

import sys

from .server._http import date as _date
from .server.accesslog import LoggingLogAdapter
from .server.environ import Environ, SecureEnviron, WSGISecureEnviron
from .server.filewrapper import FileWrapper
from .server.handler import WSGIHandler
from .server.http1 import Limits
from .server.input import Input
from .server.wsgi import WSGIServer

__all__ = [
    "Environ",
    "FileWrapper",
    "Input",
    "Limits",
    "LoggingLogAdapter",
    "SecureEnviron",
    "WSGIHandler",
    "WSGISecureEnviron",
    "WSGIServer",
    "format_date_time",
]


def format_date_time(timestamp: float) -> bytes:
    """A time as HTTP has dates, in bytes."""
    return _date(timestamp).encode("ascii")


if __name__ == "__main__":
    from ._serve import main  # not for those who only want the classes

    sys.exit(main())
