"""The errors that a user can mend."""


class InputError(ValueError):
    """What was asked for cannot be done as given; the message names the problem and the mend in one line.

    The command line prints the message alone, without a traceback.
    """


class StructureError(InputError):
    """A structure that cannot be used; `reason` is the short class under which rejected files are counted."""

    def __init__(self, reason: str, detail: str = "") -> None:
        """Message "reason: detail"."""
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
