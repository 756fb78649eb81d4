"""Names the parts of the cffi module corolib._ev._libev for setup.py; run at build time only."""

from pathlib import Path

import cffi

_here = Path(__file__).resolve().parent

ffibuilder = cffi.FFI()
ffibuilder.cdef((_here / "cdef.h").read_text())
ffibuilder.set_source(
    "corolib._ev._libev",
    (_here / "source.c").read_text(),
    libraries=["ev"],
    include_dirs=[str(_here)],
    depends=[str(_here / "evapi.h")],
    # Built for one Python as the other two parts are, so that builds for several can lie side by side.
    py_limited_api=False,
)
