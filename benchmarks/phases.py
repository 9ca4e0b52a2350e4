"""Run `nern fit` in this process and print the seconds of its phases as JSON.

    python -m benchmarks.phases fit results/… --config config.yaml

import: of the stage and all that it uses; load: of configuration and inputs, up to the first step; steps: up to the end
of the fit; evaluate: of what it wrote. What wall time is left is the interpreter's start and end.
"""

import json
import logging
import os
import sys
import time

# The time of imports is what is measured, so they come one by one and nothing is imported before the clock starts.
started = time.perf_counter()

from nern import cli  # noqa: E402
from nern.stages import evaluate, fit  # noqa: E402

imported = time.perf_counter()


def main() -> int:
    """Run the command of the arguments."""
    reached: dict[str, float] = {}
    plain_init, plain_measure = fit.Fit.__init__, evaluate.measure

    def init(*arguments: object) -> None:
        plain_init(*arguments)
        reached["load"] = time.perf_counter()

    def measure(*arguments: object) -> object:
        reached["steps"] = time.perf_counter()
        return plain_measure(*arguments)

    fit.Fit.__init__, evaluate.measure = init, measure
    code = cli.main(sys.argv[1:])
    if code == 0:
        at = [started, imported, reached["load"], reached["steps"], time.perf_counter()]
        phases = zip(("import", "load", "steps", "evaluate"), at, at[1:], strict=False)
        print(json.dumps({name: end - begin for name, begin, end in phases}), flush=True)
    return code


if __name__ == "__main__":
    end = main()
    logging.shutdown()
    os._exit(end)  # as nern.cli.run
