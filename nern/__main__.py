"""`python -m nern`: the same as `nern`, for a caller that knows its interpreter but not its PATH."""

from nern.cli import run

run()
