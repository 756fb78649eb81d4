"""What an import says in a checkout that has not been built."""

from pathlib import Path


def explain(error: ModuleNotFoundError) -> ImportError:
    """The error to raise: this one, unless it is about one of the parts in C."""
    if error.name not in ("corolib._ev._libev", "corolib._hub._core"):
        return error
    return ImportError(
        f"corolib is not built in {Path(__file__).parents[1]}: 'pip install -e .' there builds it; "
        "if it is installed elsewhere, start Python in another folder",
        name=error.name,
    )
