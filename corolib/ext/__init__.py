"""Adapters to libraries of others, one file each, named after the library.

None of them imports its library before it is asked to.
"""

__all__: tuple[str, ...] = ()
