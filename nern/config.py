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

from nern.codecs import AnyCodec
from nern.compression_settings import Compression
from nern.errors import NernError
from nern.report_settings import Figures, Frontier, Table
from nern.settings import (
    KINDS,
    Count,
    CountOrZero,
    Named,
    Original,
    Positive,
    Protocol,
    Settings,
    Task,
    Unique,
    Variant,
)


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


SHOWN = ("tables", "frontiers", "figures")
"""The sections that say which cells there are."""
TableName = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class Config(Settings):
    """The whole configuration."""

    inherit: bool = Field(
        True, strict=True, description="false: the tables, frontiers and figures of the files before are not wanted"
    )
    seeds: Annotated[list[CountOrZero], Unique, Field(min_length=1)] = Field([0, 1, 2, 3])
    execution: Execution = Execution()
    original: Original = Original()
    protocol: Protocol = Protocol()
    tasks: Named[Task]
    originals: Named[Original] = Field({"base": Original()})
    variants: Named[Variant] = Field({"base": Variant()})
    codecs: Named[AnyCodec] = Field({}, description="ways to store tensors in bytes")
    compression: Compression = Compression()
    tables: dict[TableName, Table] = Field({})
    frontiers: dict[TableName, Frontier] = Field({})
    figures: Figures = Figures()


Model = TypeVar("Model", bound=Settings)


def _merge(base: Mapping[str, Any], override: Mapping[str, Any], section: str = "") -> dict[str, Any]:
    """`base` with the values of `override`; mappings of one kind merge, all else is replaced."""
    merged = dict(base)
    for key, value in override.items():
        mine, place = merged.get(key), f"{section}.*" if f"{section}.*" in KINDS else key
        if isinstance(mine, Mapping) and isinstance(value, Mapping) and _of_one_kind(place, mine, value):
            merged[key] = _merge(mine, value, key)
        else:
            merged[key] = value
    return merged


def _of_one_kind(section: str, base: Mapping[str, Any], override: Mapping[str, Any]) -> bool:
    """Whether an override of a section does not name another kind, whose keys are not those of the base."""
    if section not in KINDS:
        return True
    key, unsaid = KINDS[section]
    return key not in override or override[key] == base.get(key, unsaid)


def layered(where: str, *layers: Model) -> Model:
    """The settings of the first layer, overridden by what each later one sets itself.

    Raises:
        NernError: one sets what the kind that another names does not have; the sentence begins with `where`.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        values = _merge(values, layer.model_dump(exclude_unset=True))
    try:
        return type(layers[0]).model_validate(values)
    except ValidationError as error:
        raise NernError(_sentence(error, where)) from None


def text_of(config: Config) -> str:
    """The configuration as JSON that `read` takes for the same.

    What was set counts, also to a default: it overrides what a wider place says. Hence Python's terms, for in files a
    protocol leaves out what came later.
    """
    return json.dumps(config.model_dump(exclude_unset=True), indent=1, allow_nan=False)


def recipe_of(config: Config, task: str, network: str, name: str) -> Original:
    """How a named original of a network comes about.

    Weights to import leave a recipe of all tasks, or of what is more general than they are, to the originals without
    weights. One beside the weights, or more particular, would be ignored.

    Raises:
        NernError: there is such a recipe.
    """
    layers = {
        "original": config.original,
        f"tasks.{task}.original": config.tasks[task].original,
        f"tasks.{task}.networks.{network}.original": config.tasks[task].networks[network].original,
        f"originals.{name}": config.originals[name],
    }
    imported = None
    for where, layer in layers.items():
        if "weights" in layer.model_fields_set:
            imported = where if layer.weights is not None else None
        ignored = sorted(layer.model_fields_set - {"weights"})
        if imported and ignored and where != "original":
            raise NernError(
                f"{where} sets {', '.join(ignored)}, but {imported} sets weights, which are imported and not trained; "
                f"remove one of them, or set weights: null in {where} to train"
            )
    return layered(f"originals.{name}", *layers.values())


def fingerprint(settings: BaseModel) -> str:
    """First 16 hexadecimal digits of the SHA-256 of the settings as canonical JSON."""
    text = json.dumps(settings.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _sentence(error: ValidationError, where: str) -> str:
    """The first of pydantic's complaints, as one line a user can act on."""
    first = error.errors()[0]
    kinds = {"images": ("torchvision", "digits", "parquet", "folder"), "embedding": ("positional", "table")}
    steps, kind = [], ""
    for before, step in itertools.pairwise((0, *first["loc"])):
        if step in kinds.get(
            str(before), ()
        ):  # pydantic names it, but it is no key of the file; a task may be called so
            kind = f" of the kind {step}"
        elif step != "[key]":
            steps.append(str(step))
    place = ".".join(steps) or "top level"
    if first["type"] == "extra_forbidden":
        return f"{where}: {place}: unknown key{kind}; remove it, or check its spelling against the schema (nern schema)"
    if first["type"] == "missing":
        return f"{where}: {place}: missing; add it"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_type" and not isinstance(first["input"], Mapping | list | None):
        message = "a text is needed, but YAML reads this as something else: quote it"
    if first["type"] == "value_error" and isinstance(first["input"], Mapping):
        return f"{where}: {place}: {message}"  # it names the keys that it is about; all of them together say nothing
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
    """Refuses a key that stands twice, whose first value would be lost, or is no text, and numbers of odd bases."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        """JSON writes a character beyond 16 bits as two halves, each of which YAML takes for a character."""
        value = super().construct_scalar(node)
        if not isinstance(value, str):
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """As it is written: what `<<` merges into it stands there only later."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
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
        return node


def _number(loader: _Loader, node: yaml.ScalarNode) -> int | float:
    """YAML 1.1 takes 0160 for 112 and 2:40 for 160."""
    kind = node.tag.rpartition(":")[2]
    value: int | float = getattr(loader, f"construct_yaml_{kind}")(node)
    digits = node.value.replace("_", "").lstrip("+-")
    octal = kind == "int" and len(digits) > 1 and digits[0] == "0" and digits.isdecimal()
    if octal or ":" in digits:
        raise yaml.constructor.ConstructorError(
            problem=f"YAML reads {node.value} as {value}, {'octal' if octal else 'of base 60'}: write the number that "
            "is meant in plain decimal digits, or quote a text",
            problem_mark=node.start_mark,
        )
    return value


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _number)


def read_file(path: Path) -> Mapping[str, Any]:
    """The mapping of one YAML or JSON file.

    Raises:
        NernError: the file is missing, is no YAML, or has a key twice.
    """
    try:
        loaded = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise NernError(f"{path}: cannot be read ({error}); give an existing configuration file") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:  # the last of a date that there is not
        line = re.sub(r"\s+", " ", str(error))[:200]
        raise NernError(f"{path}: is not valid YAML ({line})") from None
    if not isinstance(loaded, Mapping):
        raise NernError(f"{path}: a mapping of settings is needed at the top level, not {type(loaded).__name__}")
    return loaded


def read(paths: list[Path], last: Mapping[str, Any] | None = None) -> Config:
    """Read files into one configuration; in later files mappings of one kind merge and all else is replaced.

    A file with `inherit: false` is about other cells than the files before it: what those show is left out.

    Args:
        paths: the files.
        last: values that come after theirs.

    Raises:
        NernError: as `read_file`, or a setting is wrong.
    """
    values: dict[str, Any] = {}
    for layer in [*map(read_file, paths), last or {}]:
        if layer.get("inherit") is False:
            values = {key: value for key, value in values.items() if key not in SHOWN}
        values = _merge(values, layer)
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
