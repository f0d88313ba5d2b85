"""Answers that are given to what is asked, whenever that is: ``sandbox.when("weather")``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Self, TypeAlias

from pipecat_responses.sandbox.answers import Answer, ModelInput, Part, as_answer

Wanted: TypeAlias = str | re.Pattern[str] | Callable[[ModelInput], bool]
"""Part of what the user said last (in any case), a pattern that is found in it, or a function."""


class AnswerRule:
    """Answers for the requests that fit.

    Attributes:
        used: How many requests it has answered.
    """

    def __init__(
        self, wanted: Wanted | None, *, model: str | None, tool: str | None, times: int | None
    ) -> None:
        """Begins without an answer, so it answers nothing yet.

        Args:
            wanted: What the user has to have said last; None for anything.
            model: The model that has to be asked for.
            tool: The name of a tool that has to be declared.
            times: How many requests it answers; None for all.
        """
        self.used = 0
        self._wanted = wanted
        self._model = model
        self._tool = tool
        self._times = times
        self._answers: list[Answer] = []

    def answer(self, *answers: Answer | Part | str) -> Self:
        """Says what is answered: one after the other, and the last one from then on.

        Args:
            *answers: The answers.
        """
        self._answers.extend(as_answer(each) for each in answers)
        return self

    def find(self, given: ModelInput) -> Answer | None:
        """The answer to a request, or None if it does not fit.

        Args:
            given: What the model sees.
        """
        if not self._answers or (self._times is not None and self.used >= self._times):
            return None
        if not self._fits(given):
            return None
        found = self._answers[min(self.used, len(self._answers) - 1)]
        self.used += 1
        return found

    def _fits(self, given: ModelInput) -> bool:
        if self._model is not None and given.model != self._model:
            return False
        if self._tool is not None and all(each.get("name") != self._tool for each in given.tools):
            return False
        if self._wanted is None:
            return True
        if callable(self._wanted):
            return self._wanted(given)
        said = given.last_user_text or ""
        if isinstance(self._wanted, str):
            return self._wanted.lower() in said.lower()
        return self._wanted.search(said) is not None
