"""The standard library's own code, of the Python that runs, finding other things by the names that it uses.

For functions that are right as they are but for what they call: they need not be written again, and are right
for each Python.
"""

from types import CellType, FunctionType
from typing import Any

__all__ = ["adopt"]


def adopt(function: Any, names: dict[str, Any], owner: CellType | None = None) -> Any:
    """The same function with `names` for its globals. `owner` holds the class that its super() is to mean."""
    closure = function.__closure__
    if owner is not None and closure is not None:
        free = function.__code__.co_freevars
        closure = tuple(
            owner if name == "__class__" else cell for name, cell in zip(free, closure, strict=True)
        )
    adopted = FunctionType(function.__code__, names, function.__name__, function.__defaults__, closure)
    adopted.__kwdefaults__ = function.__kwdefaults__
    adopted.__doc__ = function.__doc__
    return adopted
