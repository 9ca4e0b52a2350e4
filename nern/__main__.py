"""`python -m nern`: the same as `nern`, for a caller that knows its interpreter but not its PATH."""

import sys

from nern.cli import main

sys.exit(main())
