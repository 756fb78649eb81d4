"""Environs that do not give away what is in them when they are printed, as in a report of an error."""

from typing import Any, ClassVar

__all__ = ["Environ", "SecureEnviron", "WSGISecureEnviron"]


class Environ(dict[str, Any]):
    """An environ that copies itself as what it is."""

    __slots__ = ()

    def copy(self) -> "Environ":
        """A copy of the same class."""
        return type(self)(self)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return (dict, (), None, None, iter(self.items()))


class SecureEnviron(Environ):
    """An environ whose repr() shows the values of few keys only.

    `secure_repr` False shows everything, `whitelist_keys` are those whose values are shown, and with
    `print_masked_keys` the names of the others are. Each instance has what its class has as `default_...`
    until it is set.
    """

    default_secure_repr: ClassVar[bool] = True
    default_whitelist_keys: ClassVar[tuple[str, ...]] = ()
    default_print_masked_keys: ClassVar[bool] = True

    __slots__ = ("print_masked_keys", "secure_repr", "whitelist_keys")

    secure_repr: bool
    whitelist_keys: tuple[str, ...]
    print_masked_keys: bool

    def __getattr__(self, name: str) -> Any:
        if name in SecureEnviron.__slots__:
            return getattr(type(self), "default_" + name)
        raise AttributeError(name)

    def __repr__(self) -> str:
        if not self.secure_repr:
            return dict.__repr__(self)
        shown = {key: self[key] for key in self.whitelist_keys if key in self}
        if self.print_masked_keys:
            shown |= {key: "<MASKED>" for key in self if key not in shown}
        return f"{shown!r} (hidden: {len(self) - len(shown)})" if len(shown) < len(self) else repr(shown)

    __str__ = __repr__


class WSGISecureEnviron(SecureEnviron):
    """What a report of an application's error shows: from where, and for which host."""

    __slots__ = ()

    default_whitelist_keys: ClassVar[tuple[str, ...]] = ("REMOTE_ADDR", "REMOTE_PORT", "HTTP_HOST")
    default_print_masked_keys: ClassVar[bool] = False
