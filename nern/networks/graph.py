"""A network as a pure function of its learnable kernels, from its graph; any CNN that torch.fx can trace.

- Batch normalization is frozen at the original's statistics, so behind a convolution it is a factor and an offset per
  filter: both are folded into the convolution, exactly.
- The feature maps of the distillation (paper, section 3.2) are the tensors that enter an activation: the graph knows
  them, each once, whatever the modules are called.
"""

import copy
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from nern.errors import NernError, one_line
from nern.networks.activations import activations, input_of, make_pure
from nern.networks.head import widen_head
from nern.networks.learnable import is_plain, make_weights, weight_of
from nern.networks.onednn import overruns

Tap = Callable[[int, Tensor], Tensor]
"""Called with the number of a feature map and the map; what it returns takes the map's place."""

TOLERANCE = 1e-3
"""How far logits may be apart, as a share of the largest: torchvision's are by 3e-6."""
_STOPS = ("detach", "detach_", "requires_grad_", torch.detach, torch.detach_)
"""Methods and functions that return what they are given, and let no gradient of it pass."""
_SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")


def _tap(tap: Tap, index: int, value: Tensor) -> Tensor:
    return tap(index, value)


class _Tracer(fx.Tracer):
    """Traces a forward pass of images alone, other arguments at their defaults, as one of images, folded and tap."""

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: object = None
    ) -> tuple[Any, list[Any]]:
        images, folded, tap = (self.create_proxy("placeholder", name, (), {}) for name in ("images", "folded", "tap"))
        self.folded, self.tap = folded.node, tap.node
        return root_fn, [self.root, images]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """What computes as torch's own layers stands as one node, of whatever class; no other convolution does."""
        if isinstance(m, nn.Conv2d):
            return is_plain(m)
        own = any(m.children()) or "forward" in vars(m) or not type(m).forward.__module__.startswith("torch.nn.")
        return not own or super().is_leaf_module(m, module_qualified_name)


class FunctionalNetwork:
    """A network whose learnable convolutions take their weights as arguments, with a tap on every feature map.

    Attributes:
        layers: names of the learnable convolutions.
        kernels: their original weights, [F, C / groups, height, width] each.
        maps: names of the feature maps, in the order of the forward pass.
        sums: whether each of them is a sum of two tensors, such as a block's with its shortcut.
    """

    def __init__(self, module: nn.Module, learnable: Sequence[str]) -> None:
        """Trace a network.

        Args:
            module: the original; it stays as it is.
            learnable: names of its learnable convolutions.

        Raises:
            NernError: the forward pass cannot be traced, or does not run a learnable convolution exactly once.
        """
        self.layers, self.maps, self.sums = list(learnable), list[str](), list[bool]()
        tracer = _Tracer()
        for name in self.layers:
            weight_of(module, name)  # refuses one that cannot be copied, either
        make_weights(module)
        try:
            original = copy.deepcopy(module).eval()
            traced = fx.GraphModule(original, tracer.trace(original))
        except Exception as error:  # tracing runs the user's forward on proxies: anything can come of it
            raise NernError(
                f"{type(module).__name__} cannot be traced by torch.fx ({one_line(error)}); "
                "its forward must take images alone and not branch on tensors"
            ) from None
        # the traced module has only the layers that run
        self.kernels: list[Tensor] = [weight_of(original, name).detach() for name in self.layers]
        self._scales: list[Tensor | None] = [None] * len(self.layers)
        _let_gradients_pass(traced.graph)
        make_pure(traced)
        self._fold_convolutions(traced, tracer.folded)
        self._insert_taps(traced, tracer.tap)
        widen_head(traced)
        traced.delete_all_unused_submodules()
        traced.graph.lint()
        traced.recompile()
        for parameter in traced.parameters():
            parameter.requires_grad_(False)
        self._traced = traced

    def fold(self, kernels: Sequence[Tensor]) -> list[Tensor]:
        """The weights that the convolutions use: each filter times the factor of its batch normalization."""
        pairs = zip(kernels, self._scales, strict=True)
        return [kernel if scale is None else kernel * scale for kernel, scale in pairs]

    def unfold_gradient(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Gradients in the kernels from gradients in the folded weights."""
        return self.fold(gradients)

    def forward(self, images: Tensor, folded: Sequence[Tensor], tap: Tap) -> Tensor:
        """Logits [b, classes] of images [b, C, H, W], with `tap` called on every feature map."""
        return self._traced(images, folded, tap)  # type: ignore[no-any-return]

    def logits(self, images: Tensor, folded: Sequence[Tensor]) -> Tensor:
        """Logits [b, classes] of images [b, C, H, W]."""
        return self.forward(images, folded, lambda _, value: value)

    def logits_and_maps(self, images: Tensor, folded: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Logits [b, classes] and every feature map."""
        maps: list[Tensor] = []

        def keep(_: int, value: Tensor) -> Tensor:
            maps.append(value)
            return value

        return self.forward(images, folded, keep), maps

    @torch.no_grad()
    def check(self, module: nn.Module, images: Tensor) -> None:
        """Compare with the network itself: tracing sees no views, no two names of one tensor, and no chance.

        Args:
            module: the original, in evaluation mode.
            images: [b, C, H, W], a few.

        Raises:
            NernError: their logits differ.
        """
        wanted = module(images.clone())  # a network may work in place on its images
        got = self.logits(images.clone(), self.fold(self.kernels))
        scale = wanted.nan_to_num().abs().max().item()
        if not torch.allclose(got, wanted, rtol=0, atol=TOLERANCE * scale, equal_nan=True):
            raise NernError(
                f"{type(module).__name__}: its torch.fx graph has other logits than the network itself; its forward "
                "must not change a tensor in place that it also reads under another name or as a view, nor be random"
            )

    def _fold_convolutions(self, traced: fx.GraphModule, folded: fx.Node) -> None:
        graph, modules, runs = traced.graph, dict(traced.named_modules()), dict.fromkeys(self.layers, 0)
        for number, node in enumerate(list(graph.nodes)):
            layer = modules.get(str(node.target)) if node.op == "call_module" else None
            if not isinstance(layer, nn.Conv2d):
                continue
            name = str(node.target)
            learned = name in runs
            if learned:
                runs[name] += 1
            if layer.padding_mode != "zeros":
                if learned:
                    raise NernError(f"{name}: padding mode {layer.padding_mode} is not supported for learnable layers")
                continue
            norm_node, scale, bias = _normalization(node, layer, modules)
            key = f"folded_{number}"  # not the name: conv.0 and conv_0 would share a key
            traced.register_buffer(f"{key}_bias", bias)
            with graph.inserting_before(node):
                if learned:
                    index = self.layers.index(name)
                    self._scales[index] = scale
                    weight = graph.call_function(operator.getitem, (folded, index))
                else:
                    value = layer.weight.detach()
                    traced.register_buffer(f"{key}_weight", value if scale is None else value * scale)
                    weight = graph.get_attr(f"{key}_weight")
                offset = None if bias is None else graph.get_attr(f"{key}_bias")
                entering, stride = input_of(node), layer.stride
                if overruns(layer):  # single pixels pooled: a slice's gradient is not channels-last
                    entering, stride = graph.call_function(F.avg_pool2d, (entering, 1, layer.stride)), (1, 1)
                geometry = (stride, layer.padding, layer.dilation, layer.groups)
                convolved = graph.call_function(F.conv2d, (entering, weight, offset, *geometry))
            (norm_node or node).replace_all_uses_with(convolved)
            if norm_node is not None:
                graph.erase_node(norm_node)
            graph.erase_node(node)
        elsewhere = {str(node.target) for node in graph.nodes if node.op == "get_attr"}
        for name, count in runs.items():
            if count == 1 and f"{name}.weight" in elsewhere:
                raise NernError(f"{name}: its weight is also used outside this layer; give what uses it one of its own")
            if count != 1:
                raise NernError(
                    f"{name}: runs {count} times in a forward pass in evaluation mode, as a torch.nn.Conv2d, but a "
                    "learnable layer must run once; leave its size out (learnable: [3], say), or build the network "
                    "without it (architecture: package.module:callable)"
                )

    def _insert_taps(self, traced: fx.GraphModule, tap: fx.Node) -> None:
        graph, tapped = traced.graph, dict[fx.Node, fx.Node]()
        for node in activations(traced):
            entering = input_of(node)
            if entering not in tapped:
                with graph.inserting_before(node):
                    tapped[entering] = graph.call_function(_tap, (tap, len(self.maps), entering))
                self.maps.append(str(entering))
                self.sums.append(entering.target in _SUMS)
            node.replace_input_with(entering, tapped[entering])

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "FunctionalNetwork":
        """Move everything to a device, and to a floating-point type if one is given; returns itself."""
        self._traced.to(device=device, dtype=dtype)
        self.kernels = [kernel.to(device=device, dtype=dtype) for kernel in self.kernels]
        self._scales = [None if scale is None else scale.to(device=device, dtype=dtype) for scale in self._scales]
        return self


def _let_gradients_pass(graph: fx.Graph) -> None:
    """Take out what ends gradients, as where a backbone was not to be trained: each kernel has one in the objective."""
    for node in list(graph.nodes):
        stops = node.op in ("call_method", "call_function") and node.target in _STOPS
        if stops or (node.target is getattr and node.args[1:] == ("data",)):
            node.replace_all_uses_with(input_of(node))
            graph.erase_node(node)


def _normalization(
    node: fx.Node, layer: nn.Conv2d, modules: dict[str, Any]
) -> tuple[fx.Node | None, Tensor | None, Tensor | None]:
    """The batch normalization that alone reads a convolution: node, factor [F, 1, 1, 1], offset [F]."""
    bias = None if layer.bias is None else layer.bias.detach()
    users = list(node.users)
    norm = modules.get(str(users[0].target)) if len(users) == 1 and users[0].op == "call_module" else None
    if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
        return None, None, bias
    factor = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        factor = factor * norm.weight.detach()
    offset = (torch.zeros_like(norm.running_mean) if bias is None else bias) - norm.running_mean
    offset = offset * factor
    if norm.bias is not None:
        offset = offset + norm.bias.detach()
    return users[0], factor.reshape(-1, 1, 1, 1), offset
