"""The whole typed configuration, of the settings of `nern.settings` and `nern.report_settings`, and how it is read.

`config.yaml` and the overlays under `workflow/config/` are read into `Config`; unknown keys are refused at every level.
`original` and `protocol` are layered: an override holds the same fields as the full settings, and only those
that it names count. The order, later wins: all tasks, the task, the network, then the named original or variant.
"""

import hashlib
import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from nern.errors import NernError
from nern.report_settings import Figures, Table
from nern.settings import Count, CountOrZero, Name, Original, Positive, Protocol, Settings, Task, Unique, Variant


class Threads(Settings):
    """CPU threads per stage; torch is told the same number."""

    train_original: Count = 2
    permute: Count = 1
    fit: Count = 1
    evaluate: Count = 1


class Execution(Settings):
    """Where and how stages run. Never part of a fingerprint."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    threads: Threads = Threads()
    save_every: Positive = Field(60.0, description="seconds between saved states of a running stage")


class Config(Settings):
    """The whole configuration."""

    seeds: Annotated[list[CountOrZero], Unique, Field(min_length=1)] = Field([0, 1, 2, 3])
    execution: Execution = Execution()
    original: Original = Original()
    protocol: Protocol = Protocol()
    tasks: dict[Name, Task]
    originals: dict[Name, Original] = Field({"base": Original()})
    variants: dict[Name, Variant] = Field({"base": Variant()})
    tables: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")], Table] = Field({})
    figures: Figures = Figures()


Model = TypeVar("Model", bound=Settings)


def _merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `override`; mappings merge, all else is replaced."""
    merged = dict(base)
    for key, value in override.items():
        mine = merged.get(key)
        merged[key] = _merge(mine, value) if isinstance(mine, Mapping) and isinstance(value, Mapping) else value
    return merged


def layered(*layers: Model) -> Model:
    """The settings of the first layer, overridden by what each later one sets itself."""
    values: dict[str, Any] = {}
    for layer in layers:
        values = _merge(values, layer.model_dump(exclude_unset=True))
    return type(layers[0]).model_validate(values)


def fingerprint(settings: BaseModel) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the settings as canonical JSON."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sentence(error: ValidationError, where: str) -> str:
    """The first of pydantic's complaints, as one line a user can act on."""
    first = error.errors()[0]
    kinds, loc = ("torchvision", "digits", "parquet", "folder"), first["loc"]
    # behind `images` pydantic names their kind, which is no key of the file; a task may be called the same
    hidden = [
        step == "[key]" or (before == "images" and step in kinds) for before, step in itertools.pairwise((0, *loc))
    ]
    steps = [str(step) for step, hide in zip(loc, hidden, strict=True) if not hide]
    place = ".".join(steps) or "top level"
    if first["type"] == "extra_forbidden":
        return f"{where}: {place}: unknown key; check its spelling against the schema (nern schema)"
    if first["type"] == "missing":
        return f"{where}: {place}: missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_type" and not isinstance(first["input"], Mapping | list | None):
        message = "a text is needed, but YAML reads this as something else: quote it"
    shown = repr(first["input"])
    return f"{where}: {place}: {message} (got {shown if len(shown) < 80 else shown[:77] + '...'})"


def parse(values: object, where: str = "configuration") -> Config:
    """Validate a configuration that is already a mapping.

    Raises:
        NernError: one sentence with the place of the first mistake.
    """
    if not isinstance(values, Mapping):
        raise NernError(f"{where}: a mapping of settings is needed at the top level, not {type(values).__name__}")
    try:
        return Config.model_validate(dict(values))
    except ValidationError as error:
        raise NernError(_sentence(error, where)) from None


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml has no types
    """Refuses a key that stands twice in one mapping, whose first value would be lost, and one that is no text."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                message = ""
                if key.tag != "tag:yaml.org,2002:str":
                    kind = key.tag.rpartition(":")[2]
                    message = f'the key {key.value} is read as {kind}, not as text: quote it, as in "{key.value}"'
                elif key.value in seen:
                    message = f"the key {key.value} stands twice in one mapping; remove one"
                if message:
                    raise yaml.constructor.ConstructorError(problem=message, problem_mark=key.start_mark)
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def read_file(path: Path) -> Mapping[str, Any]:
    """The mapping of one YAML or JSON file.

    Raises:
        NernError: the file is missing, is no YAML, or has a key twice.
    """
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise NernError(f"{path}: cannot be read ({error}); give an existing configuration file") from None
    except (yaml.YAMLError, RecursionError) as error:
        line = re.sub(r"\s+", " ", str(error))[:200]
        raise NernError(f"{path}: is not valid YAML ({line})") from None
    if not isinstance(loaded, Mapping):
        raise NernError(f"{path}: a mapping of settings is needed at the top level, not {type(loaded).__name__}")
    return loaded


def read(paths: list[Path]) -> Config:
    """Read files into one configuration; in later files mappings merge and all else is replaced.

    Raises:
        NernError: as `read_file`, or a setting is wrong.
    """
    values: dict[str, Any] = {}
    for path in paths:
        values = _merge(values, read_file(path))
    return parse(values, ", ".join(map(str, paths)))


def check_command_line(arguments: Sequence[str]) -> None:
    """Refuse what Snakemake takes without a word: of an option that is given twice it forgets the first.

    Args:
        arguments: of the command line that started Snakemake.

    Raises:
        NernError: `--configfile` or `--config` stands twice.
    """
    options = list(itertools.takewhile(lambda word: word != "--", arguments))
    for names, one in (
        ("--configfile --configfiles", "--configfile FIRST SECOND"),
        ("--config -C", "--config A=1 B=2"),
    ):
        found = [word for word in options if word.partition("=")[0] in names.split()]
        if len(found) > 1:
            raise NernError(
                f"the command line has {names.split()[0]} {len(found)} times, and Snakemake would forget all but the "
                f"last; write it once: {one}"
            )


def expand(path: str, where: str) -> Path:
    """A path of the configuration with `~` and `$NAME` expanded; that of a user who is unknown stays.

    Raises:
        NernError: a variable in it is not set.
    """
    names = [plain or braced for plain, braced in re.findall(r"\$(?:(\w+)|\{(\w+)\})", path)]
    missing = next((name for name in names if name not in os.environ), None)
    if missing is not None:
        raise NernError(f"{where}: {path}: the environment variable {missing} is not set; export {missing}=PATH first")
    return Path(os.path.expanduser(os.path.expandvars(path)))  # noqa: PTH111 - pathlib's ends in a RuntimeError
