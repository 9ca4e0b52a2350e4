"""The one exception of the project that ends in a sentence instead of a traceback."""


class NernError(Exception):
    """A user's mistake or a broken input: one sentence that says what, where and what to do.

    The command line prints the sentence on stderr and exits with code 2.
    """
