"""Networks with random batch-norm statistics, so that nothing in a test is accidentally zero or one; and odd ones."""

import torch
from torch import nn


def randomized(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for tensor, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.5, 1.5),
                (layer.weight, 0.5, 1.5),
                (layer.bias, -0.3, 0.3),
            ):
                if tensor is not None:
                    tensor.data.uniform_(low, high, generator=generator)
    return module.eval()


class Straight(nn.Module):
    """A network without activations."""

    def __init__(self, classes, in_channels):
        super().__init__()
        self.conv, self.head = nn.Conv2d(in_channels, 8, 3, padding=1), nn.Linear(8, classes)

    def forward(self, x):
        return self.head(self.conv(x).mean((2, 3)))


class Normalized(Straight):
    """A network with a weight that cannot be written."""

    def __init__(self, classes, in_channels):
        super().__init__(classes, in_channels)
        torch.nn.utils.parametrizations.weight_norm(self.conv)


class Maps(Straight):
    """A network that does not classify."""

    def forward(self, x):
        return self.conv(x)


class View(Straight):
    """A network that works in place on a view, which torch.fx takes for another tensor."""

    def forward(self, x):
        x = self.conv(x)
        torch.relu_(x[:, :4])
        return self.head(x.mean((2, 3)))
