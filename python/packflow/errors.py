"""The one error that a user can mend."""


class InputError(ValueError):
    """What was asked for cannot be done as given; the message names the problem and the mend in one line.

    The command line prints the message alone, without a traceback.
    """
