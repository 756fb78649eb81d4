"""The built cffi module: cdef.h declares what `lib` holds, in C."""

from typing import Any

# Any: the declarations are C's, and cffi checks each call against them at run time.
ffi: Any
lib: Any
