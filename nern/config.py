"""The typed configuration: the only definition of every setting, its default, its range and its meaning.

`config.yaml` and the overlays under `workflow/config/` are read into `Config`; unknown keys are refused at every level.
`original` and `protocol` are layered: an override holds the same fields as the full settings, and only those
that it names count. The order, later wins: all tasks, the task, the network, then the named original or variant.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nern.errors import NernError

MODES = ("none", "in-filter", "cross-filter")


def _no_bool(value: object) -> object:
    """YAML's `true` is the integer 1 to Python; in a number's place it is a mistake."""
    if isinstance(value, bool):
        raise ValueError("a number is needed here, not true or false")
    return value


_NUMBER = BeforeValidator(_no_bool)
Count = Annotated[int, _NUMBER, Field(ge=1, le=10**9)]
CountOrZero = Annotated[int, _NUMBER, Field(ge=0, le=10**9)]
Positive = Annotated[float, _NUMBER, Field(gt=0, le=1e9, allow_inf_nan=False)]
PositiveOrZero = Annotated[float, _NUMBER, Field(ge=0, le=1e9, allow_inf_nan=False)]
Fraction = Annotated[float, _NUMBER, Field(ge=0, le=1, allow_inf_nan=False)]
Momentum = Annotated[float, _NUMBER, Field(ge=0, lt=1, allow_inf_nan=False)]
Finite = Annotated[float, _NUMBER, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Mode = Literal["none", "in-filter", "cross-filter"]


class Settings(BaseModel):
    """Base of every section: unknown keys are refused, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TorchvisionImages(Settings):
    """A torchvision data set, downloaded into `root` with torchvision's checksums."""

    source: Literal["torchvision"]
    dataset: Literal["CIFAR10", "CIFAR100"]
    root: str = "data"


class DigitsImages(Settings):
    """scikit-learn's handwritten digits (1,797 images of 8x8), which come with the package: no download."""

    source: Literal["digits"]
    test_fraction: Annotated[float, _NUMBER, Field(gt=0, lt=1)] = 0.25


class ParquetImages(Settings):
    """Encoded images in parquet files, in the layout of the Hugging Face hub. `$NAME` in a path is expanded."""

    source: Literal["parquet"]
    train: Annotated[list[str], Field(min_length=1)]
    test: Annotated[list[str], Field(min_length=1)]
    image_column: str = "img"
    label_column: str = "label"


class FolderImages(Settings):
    """One folder a split, one sub-folder a class (torchvision's ImageFolder). `$NAME` in a path is expanded."""

    source: Literal["folder"]
    train: str
    test: str
    size: Count = Field(224, description="side of the square images that the network sees, in pixels")
    resize: Count = Field(256, description="shorter side before the center crop of test images, in pixels")
    streaming: bool = Field(False, description="decode from disk at each use (ImageNet) instead of once into memory")
    workers: CountOrZero = Field(8, description="processes that decode while streaming")


Images = Annotated[TorchvisionImages | DigitsImages | ParquetImages | FolderImages, Field(discriminator="source")]


class Augmentation(Settings):
    """Random crop and flip of training images, drawn on the device."""

    padding: CountOrZero = Field(0, description="zeros around the image before a random crop of its size")
    flip: bool = Field(False, description="mirror left-right with probability 1/2")


class Original(Settings):
    """How an original network comes about: imported weights, or the recipe of METHOD (He et al. 2015, section 4.2)."""

    weights: str | None = Field(
        None, description="a .safetensors, .pt or .th state dict to import, or torchvision:WEIGHTS; null trains"
    )
    epochs: Count = 200
    batch: Count = 128
    lr: Positive = 0.1
    momentum: Momentum = 0.9
    weight_decay: PositiveOrZero = 1e-4
    milestones: list[Count] = Field([100, 150], description="epochs after which the learning rate falls")
    gamma: Positive = Field(0.1, description="factor by which it falls")
    smoothness: PositiveOrZero = Field(0.0, description="λ of the smoothness regularization (paper, eq. 6)")
    seed: CountOrZero = 0


class Embedding(Settings):
    """Positional embedding of the coordinates (l, f, c) (paper, section 3.1)."""

    base: Positive = 0.76
    levels: Count = Field(40, description="N: sines and cosines per coordinate")
    normalized: bool = Field(False, description="scale each index into [0, 1); far worse, see METHOD")


class Sampling(Settings):
    """Which kernels get gradients in a step (paper, section 3.4)."""

    method: Literal["magnitude", "uniform", "layer", "all"] = "magnitude"
    kernels: Count = 4096
    uniform_probability: Fraction = Field(0.8, description="magnitude only: share of steps that sample uniformly")


class Optimizer(Settings):
    """Ranger (Wright 2019), the paper's, or Muon; with cosine decay over the phase."""

    name: Literal["ranger", "muon"] = "ranger"
    lr: Positive = 5e-3
    final_lr: PositiveOrZero = 1e-6
    betas: tuple[Momentum, Momentum] = Field((0.5, 0.999), description="muon: its momentum, and Adam's for biases")
    weight_decay: PositiveOrZero = 1e-3
    adabelief: bool = Field(False, description="ranger only: RangerAdaBelief")
    centralize: bool = Field(True, description="ranger only: gradient centralization")


class Losses(Settings):
    """L = reconstruction·L_recon + alpha·L_KD + beta·L_FMD (paper, section 3.2)."""

    reconstruction: PositiveOrZero = 1.0
    alpha: PositiveOrZero = Field(1e-4, description="weight of the distillation of outputs")
    beta: PositiveOrZero = Field(1e-4, description="weight of the distillation of feature maps")
    form: Literal["rmse", "text"] = Field("rmse", description="rmse, the code's; or the text's ‖W − Ŵ‖₂ / |W|")
    epsilon: PositiveOrZero = Field(1e-4, description="added to the student's probabilities before the logarithm")
    sums_twice: bool = Field(False, description="count residual sums twice in L_FMD (2022 and 2023 code, by aliasing)")


class Phase(Settings):
    """One stretch of training the predictor with its own schedule."""

    iterations: CountOrZero = 70_000
    batch: Count = 256
    warmup: CountOrZero = Field(0, description="first iterations on L_recon alone")
    losses: Losses = Losses()
    sampling: Sampling = Sampling()
    optimizer: Optimizer = Optimizer()


class Protocol(Settings):
    """Everything about a fit but its cell: what is learned from what, and how."""

    original: Name = Field("base", description="which of `originals` is learned")
    embedding: Embedding = Embedding()
    initialization: Literal["hypernetwork", "default"] = Field(
        "hypernetwork", description="hypernetwork: first predictions have the original's mean and variance (appendix B)"
    )
    inputs: Literal["images", "uniform", "uniform-2", "normal"] = Field(
        "images", description="images; or noise: U[-1, 1] (paper), U[-2, 2] (2023 code), N(0, 1) (2022 code)"
    )
    distillation_gradient: bool = Field(True, description="false: no gradient through the network (2022 code)")
    tf32: bool = Field(False, description="on a GPU: products and convolutions of a fit in TF32 (10-bit mantissa)")
    training: Phase = Phase()
    distillation: Phase | None = Field(None, description="a second phase after `training` (the decoupled protocol)")
    evaluate_every: CountOrZero = Field(5000, description="iterations between tests for best-on-test; 0: never")


class Network(Settings):
    """An architecture and which of its weights are learned."""

    architecture: str = Field(description="cifar-resnet, torchvision:NAME, or package.module:callable")
    depth: Count | None = Field(None, description="cifar-resnet: 6n + 2")
    width: Count | None = Field(None, description="cifar-resnet: channels of the first stage")
    shortcut: Literal["A", "B"] | None = Field(None, description="cifar-resnet: zero padding (A) or projection (B)")
    learnable: Literal["all"] | list[Count] = Field("all", description="all convolutions, or those of these sizes")
    cosine_for_1x1: bool = Field(False, description="order 1x1 kernels by cosine (2022/2023 code) instead of l2")
    original: Original = Field(Original(), description="overrides for this network")
    protocol: Protocol = Field(Protocol(), description="overrides for this network")


class Task(Settings):
    """A data set and the networks that are learned on it."""

    title: str
    note: str = Field("", description="what a reader of a table must know of the data; printed below the table")
    classes: Count
    images: Images
    mean: Annotated[list[Finite], Field(min_length=1)]
    std: Annotated[list[Positive], Field(min_length=1)]
    augmentation: Augmentation = Augmentation()
    networks: dict[Name, Network]
    original: Original = Field(Original(), description="overrides for this task")
    protocol: Protocol = Field(Protocol(), description="overrides for this task")

    @model_validator(mode="after")
    def _channels(self) -> Self:
        if len(self.mean) != len(self.std):
            raise ValueError(f"mean has {len(self.mean)} channels but std has {len(self.std)}: give one number each")
        return self


def _unique(values: list[Any]) -> list[Any]:
    if len(set(values)) != len(values):
        raise ValueError(f"{values} repeats a value: name each once")
    return values


Unique = BeforeValidator(lambda v: _unique(v) if isinstance(v, list) and all(map(_hashable, v)) else v)


def _hashable(value: object) -> bool:
    return isinstance(value, (str, int, float))


class Table(Settings):
    """A table of cells: one row per network and hidden size, one group of columns per smoothing mode or variant."""

    title: str
    task: Name
    sizes: dict[Name, Annotated[list[Count], Unique, Field(min_length=1)]] = Field(
        description="hidden sizes of each network"
    )
    smoothing: Annotated[list[Mode], Unique, Field(min_length=1)] = ["cross-filter"]
    variants: Annotated[list[Name], Unique, Field(min_length=1)] = ["base"]
    columns: Literal["smoothing", "variant"] = "smoothing"
    labels: dict[Name, str] = Field({}, description="what the table calls a variant, where not by its name")


class CellsFigure(Settings):
    """A figure about the fits of one network, hidden size, smoothing mode and variant, over all seeds."""

    title: str
    task: Name
    network: Name
    smoothing: Mode = "cross-filter"
    hidden: Count
    variant: Name = "base"


class TableFigure(Settings):
    """A figure drawn from the cells of a table."""

    title: str
    table: Name


class PruningFigure(CellsFigure):
    """Accuracy and bytes of predictors whose smallest weights are set to zero (figure 5a)."""

    sparsities: Annotated[list[Fraction], Unique, Field(min_length=1)]


class ImportanceFigure(CellsFigure):
    """Activations of the filters that are reconstructed best and worst (figure 5b)."""

    layer: str
    filters: Count = Field(10, description="how many of the best and of the worst")
    images: Count = Field(1000, description="test images to average over")


class KernelsFigure(CellsFigure):
    """A square of kernels of one layer, original and reconstructed (figure 6); of the first seed."""

    layer: CountOrZero = Field(description="number of the learnable layer, from 0")
    side: Count = 8


class EmbeddingFigure(Settings):
    """Similarity of embeddings of neighboring indices (figure 8)."""

    title: str
    bases: Annotated[list[Positive], Unique, Field(min_length=1)]
    levels: Count = 40
    indices: Count = 64
    reference: CountOrZero = 31


class Figures(Settings):
    """The paper's figures, and a table of sizes as one; one that is left out is not drawn."""

    smoothness_regularization: TableFigure | None = None
    loss_curves: TableFigure | None = None
    meta_compression: PruningFigure | None = None
    weight_importance: ImportanceFigure | None = None
    kernels: KernelsFigure | None = None
    embedding_similarity: EmbeddingFigure | None = None
    size_tradeoff: TableFigure | None = None

    @property
    def names(self) -> list[str]:
        """Those that are there."""
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


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

    seeds: Annotated[list[CountOrZero], Unique, Field(min_length=1)] = [0, 1, 2, 3]
    execution: Execution = Execution()
    original: Original = Original()
    protocol: Protocol = Protocol()
    tasks: dict[Name, Task]
    originals: dict[Name, Original] = {"base": Original()}
    variants: dict[Name, Protocol] = {"base": Protocol()}
    tables: dict[Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")], Table] = {}
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
    steps = [str(step) for step in first["loc"] if step not in ("[key]", "torchvision", "digits", "parquet", "folder")]
    place = ".".join(steps) or "top level"
    if first["type"] == "extra_forbidden":
        return f"{where}: {place}: unknown key; check its spelling against the schema (nern schema)"
    if first["type"] == "missing":
        return f"{where}: {place}: missing; add it"
    message = first["msg"].removeprefix("Value error, ")
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


def read(paths: list[Path]) -> Config:
    """Read YAML or JSON files into one configuration; in later files mappings merge and all else is replaced.

    Raises:
        NernError: a file is missing, is no YAML, or holds a wrong setting.
    """
    values: dict[str, Any] = {}
    for path in paths:
        try:
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise NernError(f"{path}: cannot be read ({error}); give an existing configuration file") from None
        except (yaml.YAMLError, RecursionError) as error:
            line = re.sub(r"\s+", " ", str(error))[:200]
            raise NernError(f"{path}: is not valid YAML ({line})") from None
        if not isinstance(loaded, Mapping):
            raise NernError(f"{path}: a mapping of settings is needed at the top level, not {type(loaded).__name__}")
        values = _merge(values, loaded)
    return parse(values, ", ".join(map(str, paths)))


def expand(path: str, where: str) -> Path:
    """A path of the configuration with `~` and `$NAME` expanded.

    Raises:
        NernError: a variable in it is not set.
    """
    expanded = os.path.expandvars(path)
    missing = re.search(r"\$\{?(\w+)\}?", expanded)
    if missing:
        name = missing.group(1)
        raise NernError(f"{where}: {path}: the environment variable {name} is not set; export {name}=FOLDER first")
    return Path(expanded).expanduser()
