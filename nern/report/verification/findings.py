"""What `nern verify` finds."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """What is wrong with, or to be known of, a file."""

    message: str
    error: bool


def render(found: list[Finding]) -> str:
    """A line for each, errors first, and a last one with their number."""
    lines = [f"error: {finding.message}" for finding in found if finding.error]
    lines += [f"remark: {finding.message}" for finding in found if not finding.error]
    errors = sum(finding.error for finding in found)
    return "\n".join([*lines, f"{errors} errors, {len(found) - errors} remarks"])
