"""Logits in 32 bits, whatever the passes that lead to them are in.

A bfloat16 has 128 values between a power of two and the next. For logits that is too few: near the original they differ
by no more than the rounding, and far from it the two largest are often rounded to one number, where L_KD has a gradient
a thousand times its own. So the last products before the logits, and what follows them, are of 32 bits.
"""

import contextlib
import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.conv import _ConvNd

from nern.method.precision import widened

_MODULES = (nn.Linear, nn.Bilinear, _ConvNd)
_NAMES = ("matmul", "mm", "bmm", "mv", "addmm", "baddbmm", "einsum")
_FUNCTIONS = {F.linear, F.bilinear, F.conv1d, F.conv2d, F.conv3d, operator.matmul} | {
    getattr(torch, name) for name in _NAMES
}


class _Widened(nn.Module):
    """A product of tensors in 32 bits, or in as many as they have if that is more."""

    def __init__(self, product: Callable[..., Tensor]) -> None:
        super().__init__()
        self.product = product

    def forward(self, *values: Any, **named: Any) -> Tensor:
        """The product of the widened tensors."""
        given = [*values, *named.values()]
        device = next(value.device.type for value in given if isinstance(value, Tensor))
        # a device that has no autocast, such as meta, has none to leave
        available = torch.amp.is_autocast_available(device)
        with torch.autocast(device, enabled=False) if available else contextlib.nullcontext():
            return self.product(*map(_wide, values), **{name: _wide(value) for name, value in named.items()})


def _wide(value: Any) -> Any:
    return widened(value) if isinstance(value, Tensor) and value.is_floating_point() else value


def widen_head(traced: fx.GraphModule) -> None:
    """Let the last products before the logits be of 32 bits: of each way to them the one behind which there is none."""
    modules = dict(traced.named_modules())
    for number, node in enumerate(_last_products(traced.graph, modules)):
        name = f"head_{number}"
        traced.add_module(name, _Widened(_callable(node, modules)))
        with traced.graph.inserting_before(node):
            widened_node = traced.graph.call_module(name, node.args, node.kwargs)
        node.replace_all_uses_with(widened_node)
        traced.graph.erase_node(node)


def _last_products(graph: fx.Graph, modules: dict[str, Any]) -> list[fx.Node]:
    ahead, seen, found = list(graph.output_node().all_input_nodes), set[fx.Node](), list[fx.Node]()
    while ahead:
        node = ahead.pop()
        if node in seen:
            continue
        seen.add(node)
        if _is_product(node, modules):
            found.append(node)
        else:
            ahead += node.all_input_nodes
    return found


def _is_product(node: fx.Node, modules: dict[str, Any]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], _MODULES)
    if node.op == "call_function":
        return node.target in _FUNCTIONS
    return node.op == "call_method" and node.target in _NAMES


def _callable(node: fx.Node, modules: dict[str, Any]) -> Callable[..., Tensor]:
    if node.op == "call_module":
        return modules[str(node.target)]  # type: ignore[no-any-return]
    if callable(node.target):
        return node.target
    method = str(node.target)
    return lambda tensor, *values, **named: getattr(tensor, method)(*values, **named)
