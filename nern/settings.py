"""The settings of what is learned, from what and how: images, originals, networks, the protocol of a fit.

The only definition of each, with its default, its range and its meaning.
"""

from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

MODES = ("none", "in-filter", "cross-filter")
KINDS = {"images": ("source", None), "embedding": ("kind", "positional"), "codecs.*": ("kind", None)}
"""Sections of several kinds, which have other keys: the key that says which, and the kind where nothing says so."""


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
_Value = TypeVar("_Value")


def _apart(values: dict[str, _Value]) -> dict[str, _Value]:
    """Names become folders, which some file systems tell apart without regard to case."""
    seen: dict[str, str] = {}
    for name in values:
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise ValueError(
                f"{other} and {name} differ in upper and lower case alone, and some file systems would take them for "
                "one folder; rename one"
            )
    return values


Named = Annotated[dict[Name, _Value], AfterValidator(_apart)]
"""Things that are called by names, which become folders."""
Mode = Literal["none", "in-filter", "cross-filter"]
Precision = Literal["float32", "tf32", "bfloat16"]
PredictorPrecision = Literal["float32", "bfloat16"]
_PRECISIONS = "float32; tf32, which a GPU has; or bfloat16, with losses and weights in float32"


class Settings(BaseModel):
    """Base of every section: unknown keys are refused, values cannot change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    LATER: ClassVar[tuple[str, ...]] = ()
    """Keys that came after fits were published, with defaults that change nothing in them."""

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler, info: SerializationInfo) -> dict[str, Any]:
        """In files, what came later and has its default is not said: fits of before keep their fingerprint."""
        values: dict[str, Any] = handler(self)
        if info.mode_is_json():
            for key in self.LATER:
                if getattr(self, key) == type(self).model_fields[key].default:
                    values.pop(key, None)
        return values


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

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.size < type(self).model_fields["size"].default and "resize" not in self.model_fields_set:
            raise ValueError(
                f"size {self.size} without a resize: the shorter side would be brought to {self.resize} pixels and all "
                f"but the middle {self.size} cut off; set resize too, to {self.size} for the whole of square images"
            )
        return self


Images = Annotated[TorchvisionImages | DigitsImages | ParquetImages | FolderImages, Field(discriminator="source")]


class Augmentation(Settings):
    """Random crop and flip of training images, drawn on the device."""

    padding: CountOrZero = Field(0, description="zeros around the image before a random crop of its size")
    flip: bool = Field(False, description="mirror left-right with probability 1/2")


class Original(Settings):
    """How an original network comes about: imported weights, or the recipe of He et al. (2015, section 4.2)."""

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
    precision: Precision = Field("float32", description=f"of its passes: {_PRECISIONS}")
    seed: CountOrZero = 0


class PositionalEmbedding(Settings):
    """Sinusoids of the coordinates (l, f, c) (paper, section 3.1)."""

    kind: Literal["positional"] = "positional"
    base: Positive = 0.76
    levels: Count = Field(40, description="N: sines and cosines per coordinate")
    normalized: bool = Field(False, description="scale each index into [0, 1); far worse (docs/fidelity.md)")


class TableEmbedding(Settings):
    """A learned vector for each l, each f and each c, which the first layer adds up: not the paper's."""

    kind: Literal["table"]
    normalized: ClassVar[bool] = False


def _kind(embedding: object) -> object:
    key, unsaid = KINDS["embedding"]
    kind = embedding.get(key, unsaid) if isinstance(embedding, dict) else getattr(embedding, key, None)
    return kind if isinstance(kind, str) else None


Embedding = Annotated[
    Annotated[PositionalEmbedding, Tag("positional")] | Annotated[TableEmbedding, Tag("table")],
    Discriminator(_kind, "kind", "kind must be positional or table"),
]


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
    rise: Fraction = Field(0, description="share of the phase in which the learning rate rises from zero")
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


class Reordering(Settings):
    """Kernels change places in their layer or filter while a predictor learns them: not the paper's fixed order."""

    every: Count = Field(50, description="iterations between two times")
    rounds: Count = Field(2, description="each time: how often places are assigned; a layer is cut into cells anew")


class Phase(Settings):
    """One stretch of training the predictor with its own schedule."""

    LATER = ("reordering",)

    iterations: CountOrZero = 70_000
    batch: Count = 256
    warmup: CountOrZero = Field(0, description="first iterations on L_recon alone")
    losses: Losses = Losses()
    sampling: Sampling = Sampling()
    optimizer: Optimizer = Optimizer()
    reordering: Reordering | None = Field(
        None, description="of a cross-filter or in-filter order, by the predictions; null: none, the paper's"
    )


Activation = Literal["relu", "gelu"]
Inputs = Literal["images", "uniform", "uniform-2", "normal"]


class Protocol(Settings):
    """Everything about a fit but its cell: what is learned from what, and how."""

    LATER = ("activation",)

    original: Name = Field("base", description="which of `originals` is learned")
    embedding: Embedding = PositionalEmbedding()
    activation: Activation = Field("relu", description="between the predictor's layers: relu (paper) or gelu")
    initialization: Literal["hypernetwork", "default"] = Field(
        "hypernetwork", description="hypernetwork: first predictions have the original's mean and variance (appendix B)"
    )
    inputs: Inputs = Field(
        "images", description="images; or noise: U[-1, 1] (paper), U[-2, 2] (2023 code), N(0, 1) (2022 code)"
    )
    distillation_gradient: bool = Field(True, description="false: no gradient through the network (2022 code)")
    precision: Precision = Field("float32", description=f"of the networks' passes: {_PRECISIONS}")
    predictor_precision: PredictorPrecision = Field(
        "float32",
        description="of its passes in training, and of Muon's products: float32; or bfloat16, with weights in float32",
    )
    training: Phase = Phase()
    distillation: Phase | None = Field(None, description="a second phase after `training` (the decoupled protocol)")
    evaluate_every: CountOrZero = Field(5000, description="iterations between tests for best-on-test; 0: never")

    @property
    def reorders(self) -> bool:
        """Whether the order of the kernels is the fit's own."""
        return any(phase is not None and phase.reordering is not None for phase in (self.training, self.distillation))


class Variant(Protocol):
    """A named override of the protocol."""

    extends: Name | None = Field(None, description="the variant that this one changes; null: the protocol itself")


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

    @model_validator(mode="after")
    def _depth(self) -> Self:
        if self.architecture == "cifar-resnet" and self.depth is not None and (self.depth < 8 or self.depth % 6 != 2):
            raise ValueError(f"depth {self.depth} is none of a CIFAR ResNet, which has 6n + 2 layers: 8, 14, 20, …")
        return self


class Task(Settings):
    """A data set and the networks that are learned on it."""

    title: str
    note: str = Field("", description="what a reader of a table must know of the data; printed below the table")
    classes: Count
    images: Images
    mean: Annotated[list[Finite], Field(min_length=1)]
    std: Annotated[list[Positive], Field(min_length=1)]
    augmentation: Augmentation = Augmentation()
    networks: Named[Network]
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


Unique = AfterValidator(_unique)
