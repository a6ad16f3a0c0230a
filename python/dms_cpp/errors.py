"""The two kinds of failure. Each message is one line: what is wrong, what was expected."""

from __future__ import annotations


class Error(Exception):
    """What both kinds share: the message's parts, empty where it has none."""

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        field: str = "",
        got: str = "",
        expected: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(message)
        self.where = where
        """The file, or the place in it."""
        self.field = field
        """The argument."""
        self.got = got
        """The offending value."""
        self.expected = expected
        """What would have been right."""
        self.hint = hint
        """What to do next."""


class InputError(Error, ValueError):
    """The caller's file, option or request is bad."""


class RunError(Error, RuntimeError):
    """The work failed although the input was good: the KV memory's limit, a full disk."""
