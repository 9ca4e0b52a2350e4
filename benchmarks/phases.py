"""Run `nern fit` or `nern evaluate` in this process and print the seconds of its phases as JSON.

    python -m benchmarks.phases fit results/… --config config.yaml

import: of the stage and all that it uses; load: of configuration and inputs, up to the first step; rest: until the end.
"""

import json
import sys
import time

# The time of imports is what is measured, so they come one by one and nothing is imported before the clock starts.
started = time.perf_counter()

from nern import cli  # noqa: E402


def main() -> int:
    """Run the command of the arguments."""
    loaded = 0.0
    if sys.argv[1] == "fit":
        from nern.stages import fit

        plain_init = fit.Fit.__init__
    else:
        from nern.stages import evaluate

        plain_load = evaluate.load_fitted
    imported = time.perf_counter()

    def init(*arguments: object) -> None:
        nonlocal loaded
        plain_init(*arguments)
        loaded = time.perf_counter()

    def load(*arguments: object) -> object:
        nonlocal loaded
        result = plain_load(*arguments)
        loaded = time.perf_counter()
        return result

    if sys.argv[1] == "fit":
        fit.Fit.__init__ = init
    else:
        evaluate.load_fitted = load
    code = cli.main(sys.argv[1:])
    ended = time.perf_counter()
    if code == 0:
        print(json.dumps({"import": imported - started, "load": loaded - imported, "rest": ended - loaded}))
    return code


if __name__ == "__main__":
    sys.exit(main())
