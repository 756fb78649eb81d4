"""The standard library's own code, of the Python that runs, finding other things by the names that it uses.

For functions that are right as they are but for what they call: they need not be written again, and are right
for each Python. Names are found in the globals of an adopted function, or in a module that stands in for one.
"""

from types import CellType, FunctionType, ModuleType
from typing import Any

__all__ = ["Names", "Overlay", "adopt"]


class Names(dict[str, Any]):
    """Globals of adopted functions: some of ours, for the rest the module's, as they are at the moment."""

    def __init__(self, module: ModuleType, **ours: Any) -> None:
        super().__init__(ours, __builtins__=vars(module)["__builtins__"])
        self._module = vars(module)

    def __missing__(self, name: str) -> Any:
        return self._module[name]


class Overlay(ModuleType):
    """A module, with some names of ours in front of its own."""

    def __init__(self, module: ModuleType, **ours: object) -> None:
        super().__init__(module.__name__, module.__doc__)
        vars(self).update(ours, _real=module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def adopt(function: Any, names: Names, owner: CellType | None = None) -> Any:
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
