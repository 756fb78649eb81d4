"""Questions under way: who asks what is being asked already waits for the same answer.

A question is asked for all who want to know, so the one who was first may go (killed, or a Timeout struck)
and the others still get the answer. When the last one has gone, nobody is left who would hear it, and the
question is withdrawn.
"""

from collections.abc import Hashable
from copy import copy
from typing import Any

from ..event import AsyncResult
from ..hub import Hub
from .base import Resolver
from .hosts import HostsFile

__all__ = ["Question", "SharingResolver"]


class Question:
    """A function of `_socket`, its arguments, and who waits for what it returns."""

    __slots__ = ("answer", "args", "askers", "function")

    def __init__(self, function: str, args: tuple[Any, ...]) -> None:
        self.function = function
        self.args = args
        self.answer: AsyncResult[Any] = AsyncResult()
        #: How many greenlets wait.
        self.askers = 0


class SharingResolver(Resolver):
    """A subclass begins to ask, calls _answered() later, and may withdraw a question in between."""

    def __init__(self, hub: Hub | None = None, *, hosts: HostsFile | None = None) -> None:
        super().__init__(hub, hosts=hosts)
        self._questions: dict[Hashable, Question] = {}

    def _begin(self, question: Question) -> None:
        """See to it that _answered() will be called. Never switches, never raises."""
        raise NotImplementedError

    def _withdraw(self, question: Question) -> None:
        """Nobody waits for it any more. Never switches."""
        raise NotImplementedError

    def _ask(self, function: str, *args: Any) -> Any:
        key = (function, args)
        question = self._questions.get(key)
        if question is None:
            question = self._questions[key] = Question(function, args)
            self._begin(question)
        question.askers += 1
        try:
            question.answer.wait()
        finally:
            question.askers -= 1
            if not question.askers and not question.answer.ready():
                self._forget(question)
                self._withdraw(question)
        error = question.answer.exception
        if error is not None:
            raise copy(error)  # each asker adds a traceback of its own
        return _own(question.answer.value)

    def _answered(self, question: Question, value: Any, error: BaseException | None = None) -> None:
        """Tell all who wait. In the thread of the hub; never switches."""
        self._forget(question)
        if error is None:
            question.answer.set(value)
        else:
            question.answer.set_exception(error)

    def _forget(self, question: Question) -> None:
        key = (question.function, question.args)
        if self._questions.get(key) is question:
            del self._questions[key]


def _own(answer: Any) -> Any:
    """The answer, with lists that no other asker has."""
    if isinstance(answer, list):
        return list(answer)
    if isinstance(answer, tuple):
        return tuple(list(part) if isinstance(part, list) else part for part in answer)
    return answer
