"""Whether a network can be learned, found out in seconds, before anything is trained or downloaded.

Four things must hold. The network gives logits of the task's images, and the same ones each time. Its learnable
convolutions compute with the weights that are written into them. Its state dict brings it back. Its graph stands for
it.
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from nern.errors import NernError, one_line
from nern.networks.graph import TOLERANCE, FunctionalNetwork
from nern.networks.learnable import learnable_layers, weight_of
from nern.networks.loading import load_weights
from nern.networks.onednn import around_overruns

IMAGES = 2
"""Batch normalization in training mode needs two."""


def probe(
    build: Callable[[], nn.Module],
    *,
    classes: int,
    shape: tuple[int, int, int],
    learnable: Literal["all"] | list[int],
    trained: bool,
) -> None:
    """Try an untrained network on noise.

    Args:
        build: makes the network, a new one at each call.
        classes: of the task.
        shape: (channels, height, width) of its images.
        learnable: which convolutions are learned (`learnable_layers`).
        trained: whether it will be trained here, and not imported.

    Raises:
        NernError: it cannot be built, fed, represented, brought back or trained.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module, twin = build().eval(), build().eval()
        images = torch.randn(IMAGES, *shape).to(memory_format=torch.channels_last)
        layers = learnable_layers(module, include=learnable)
        _check_tensors(module, layers)
        _lay_out(module)
        with torch.no_grad():
            _fill_zeros(module)
            logits, image = _check_answers(module, images, classes), images[:1]
            _bring_back(module, twin)
            graph = FunctionalNetwork(twin, layers)  # as the stages trace it: of weights that were loaded and not run
            _check_weights_are_used(module, layers, image)
            _check_came_back(module, twin, image, logits)
            graph.check(module, image)
        if trained:
            with around_overruns(module):
                _check_training(module, images, classes)


def _check_tensors(module: nn.Module, layers: list[str]) -> None:
    """Every tensor is there, is one in the state dict, and has one name; learnable ones are plain 32-bit floats."""
    kind, names = type(module).__name__, dict[int, str]()
    for name, value in module.state_dict(keep_vars=True).items():
        if not isinstance(value, Tensor):
            raise NernError(f"{kind}: its state dict holds {name}, which is no tensor; keep it out (get_extra_state)")
        if "_orig_mod." in name:
            raise NernError(f"{kind}: is compiled; return it as it was before torch.compile")
        if is_lazy(value):
            raise NernError(f"{kind}: {name} is lazy and has no shape yet; give its layer the number of its inputs")
        if value.device.type != "cpu":
            raise NernError(f"{kind}: {name} is on the device {value.device}; build the network on the CPU")
        memory = value.untyped_storage().data_ptr()
        if value.numel() and names.setdefault(memory, name) != name:
            raise NernError(
                f"{kind}: {names[memory]} and {name} are one tensor; give each layer its own, registered once"
            )
    for layer in layers:
        if (dtype := weight_of(module, layer).dtype) != torch.float32:
            raise NernError(f"{layer}: its weight is {dtype}, but float32 is learned; build the network in float32")
        if f"{layer}.weight" not in names.values():
            raise NernError(
                f"{layer}: its weight is not in the state dict under this name; leave the names as they are"
            )


def _lay_out(module: nn.Module) -> None:
    """Bring its tensors into the memory format in which it is trained and tested, as its images are."""
    try:
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    except RuntimeError as error:
        raise NernError(
            f"{type(module).__name__}: cannot have the memory format channels_last ({one_line(error)}); "
            "let it hold no tensors of five dimensions"
        ) from None


def _fill_zeros(module: nn.Module) -> None:
    """What is zero at first, a head or a bias, would hide what lies before it."""
    for parameter in module.parameters():
        if parameter.is_floating_point() and not parameter.any():
            parameter.normal_(std=0.1)


def _check_answers(module: nn.Module, images: Tensor, classes: int) -> Tensor:
    """Logits [1, classes] of the first image, which depend on nothing else."""
    kind, before = type(module).__name__, {name: value.clone() for name, value in module.state_dict().items()}
    training = [name or kind for name, part in module.named_modules() if part.training]
    if training:
        raise NernError(f"{kind}: {training[0]} stays in training mode after eval(); let it change")
    logits = _logits(module, images, classes, "")
    probabilities = bool((logits >= 0).all()) and torch.allclose(logits.sum(1), torch.ones(len(logits)), atol=1e-4)
    if probabilities and classes > 1:
        raise NernError(f"{kind}: its outputs are probabilities, not logits; leave out the softmax at its end")
    alone = _logits(module, images[:1], classes, "")
    if not _same(_logits(module, images[:1], classes, ""), alone, 0):
        raise NernError(f"{kind}: gives the same image other logits each time; in evaluation mode drop nothing")
    if not _same(alone, logits[:1], TOLERANCE):
        raise NernError(
            f"{kind}: its logits of an image depend on the others of the batch; in evaluation mode normalize by "
            "statistics that are kept (track_running_stats)"
        )
    for name, value in module.state_dict().items():
        if not _same(value, before[name], 0):
            raise NernError(f"{kind}: its forward pass in evaluation mode changes {name}; let it change nothing")
    return alone


def _check_weights_are_used(module: nn.Module, layers: list[str], images: Tensor) -> None:
    """What is written into a learnable weight is what its convolution computes with."""
    with _Convolutions() as convolutions:
        module(images.clone())
    used = {weight.data_ptr() for weight in convolutions.weights}
    for layer in layers:
        if weight_of(module, layer).data_ptr() not in used:
            raise NernError(f"{layer}: its convolution computes with another tensor than its weight; let it use that")


def _bring_back(module: nn.Module, twin: nn.Module) -> None:
    """Give the state dict to a network that was built anew."""
    kind = type(module).__name__
    if twin is module:
        raise NernError(f"{kind}: the callable returns the same network twice; let it make a new one")
    try:
        load_weights(twin, module.state_dict(), f"{kind}, its own state dict")
    except NernError:
        raise
    except Exception as error:  # of the user's own way to load
        raise NernError(f"{kind}: does not take its own state dict ({one_line(error)}); mend it") from None


def _check_came_back(module: nn.Module, twin: nn.Module, images: Tensor, logits: Tensor) -> None:
    """A network that was built anew and given the state dict is the same network."""
    if not _same(twin(images.clone()), logits, TOLERANCE):
        raise NernError(
            f"{type(module).__name__}: built anew and given its state dict it has other logits: it holds tensors that "
            "are not in there; register them as parameters or buffers"
        )


def _check_training(module: nn.Module, images: Tensor, classes: int) -> None:
    """In training mode, too, it gives logits, with a gradient."""
    module.train()
    logits = _logits(module, images, classes, " in training mode")
    try:
        F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.long)).backward()
    except Exception as error:  # of what the user's modules do backwards
        raise NernError(f"{type(module).__name__}: has no gradient ({one_line(error)}); let it be trainable") from None


def _logits(module: nn.Module, images: Tensor, classes: int, mode: str) -> Tensor:
    """What a network says of images [b, C, H, W]; NernError if it fails, or if that is no [b, classes]."""
    kind = type(module).__name__
    try:
        logits = module(images.clone())  # a network may work in place on its images
    except Exception as error:  # of the user's forward: anything
        advice = "mend it, or change the task's images"
        if "view size is not compatible" in str(error):
            advice = "images have the memory format channels_last here, so use flatten or reshape instead of view"
        raise NernError(
            f"{kind}: does not take images of the shape {list(images.shape[1:])}{mode} ({one_line(error)}); {advice}"
        ) from None
    wanted = f"logits [{len(images)}, {classes}] of {len(images)} images are needed"
    if not isinstance(logits, Tensor):
        raise NernError(f"{kind}: returns a {type(logits).__name__}{mode}, but {wanted}; leave out auxiliary outputs")
    if logits.shape != (len(images), classes) or not logits.is_floating_point():
        given = f"{str(logits.dtype).removeprefix('torch.')} {list(logits.shape)}"
        raise NernError(f"{kind}: returns {given}{mode}, but {wanted}; change its head, or the task's classes")
    return logits


def _same(ours: Tensor, theirs: Tensor, tolerance: float) -> bool:
    """Whether two tensors differ by no more than a share of the largest number."""
    if tolerance == 0:
        return bool(((ours == theirs) | ((ours != ours) & (theirs != theirs))).all())
    scale = theirs.nan_to_num().abs().max().item() if theirs.numel() else 0
    return torch.allclose(ours, theirs, rtol=0, atol=tolerance * scale, equal_nan=True)


class _Convolutions(TorchFunctionMode):
    """The weights of the convolutions that run."""

    def __init__(self) -> None:
        super().__init__()
        self.weights: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Remember the weight that torch.nn.Conv2d gives, and run."""
        if func is F.conv2d and len(args) > 1:
            self.weights.append(args[1])
        return func(*args, **(kwargs or {}))
