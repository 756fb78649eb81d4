"""corolib: write blocking code, run ten thousand of it in one thread."""

__version__ = "0.1.0"
