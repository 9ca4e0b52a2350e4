"""The activations in a traced network: torch.nn's, in every form that torch gives them, none of them in place.

Which they are torch itself says: the classes of torch.nn.modules.activation and, by the names of these, the functions
of torch and torch.nn.functional and the methods of tensors.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx
from torch.nn.modules import activation


def _plain(name: str) -> str:
    """One spelling of `LeakyReLU`, `leaky_relu` and `leaky_relu_`."""
    return name.replace("_", "").lower()


_OTHERS = ("MultiheadAttention", "Softmin", "Softmax", "Softmax2d", "LogSoftmax")
"""They stand among the activations, but what enters them are tokens and logits, not feature maps."""
_CLASSES = tuple(getattr(activation, name) for name in activation.__all__ if name not in _OTHERS)
_NAMES = {_plain(found.__name__) for found in _CLASSES}
_FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    function: getattr(space, name.rstrip("_"))
    for space in (torch, F)
    for name, function in vars(space).items()
    if _plain(name) in _NAMES
}
"""Each with its twin that does not work in place: itself, most often."""


def input_of(node: fx.Node) -> fx.Node:
    """What enters a layer or an activation, given first or by name."""
    entering = node.args[0] if node.args else node.kwargs["input"]
    assert isinstance(entering, fx.Node), node
    return entering


def activations(traced: fx.GraphModule) -> list[fx.Node]:
    """The activations of a network, in the order of the forward pass."""
    modules = dict(traced.named_modules())
    return [node for node in traced.graph.nodes if _is_activation(node, modules)]


def make_pure(traced: fx.GraphModule) -> None:
    """Let activations that work in place write elsewhere, and methods that write over what enters or left one.

    What enters one may be tapped, and what left it has a gradient by its value. Whoever reads it after that reads what
    was written over it, as in the network itself.
    """
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        activates = _is_activation(node, modules)
        if not activates and not _overwrites(node, modules):
            continue
        if not activates or _works_in_place(node, modules):
            input_of(node).replace_all_uses_with(node, delete_user_cb=node.__lt__)
        if node.op == "call_method":
            node.target = str(node.target).rstrip("_")
        elif node.op == "call_function":
            node.target = _FUNCTIONS[node.target]
            node.kwargs = {name: value for name, value in node.kwargs.items() if name != "inplace"}
    # last: one module may be several activations
    for module in modules.values():
        if isinstance(module, _CLASSES) and hasattr(module, "inplace"):
            module.inplace = False


def _is_activation(node: fx.Node, modules: dict[str, Any]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], _CLASSES)
    if node.op == "call_function":
        return node.target in _FUNCTIONS
    return node.op == "call_method" and _plain(str(node.target)) in _NAMES


def _overwrites(node: fx.Node, modules: dict[str, Any]) -> bool:
    """Whether a method such as `add_` writes over what an activation before it has read or made."""
    name = str(node.target)
    if node.op != "call_method" or not name.endswith("_") or not callable(getattr(torch.Tensor, name[:-1], None)):
        return False
    written = input_of(node)
    readers = [user for user in written.users if _is_activation(user, modules) and input_of(user) is written]
    return _is_activation(written, modules) or any(reader < node for reader in readers)


def _works_in_place(node: fx.Node, modules: dict[str, Any]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    name = str(node.target) if node.op == "call_method" else node.target.__name__  # type: ignore[union-attr]
    return name.endswith("_") or bool(node.kwargs.get("inplace", False))
