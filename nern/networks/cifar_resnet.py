"""ResNets for small images (He et al. 2015, section 4.2): depth 6n + 2, three stages of n blocks.

Names are torchvision's (conv1, bn1, layer1.0.conv1, downsample.0, fc).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from nern.errors import NernError


class ZeroPadding(nn.Module):
    """Option A: every second pixel, and zero maps on both sides up to the new number of channels. No parameters."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.before, self.after, self.stride = extra // 2, extra - extra // 2, stride

    def forward(self, x: Tensor) -> Tensor:
        """[b, C, H, W] to [b, C + extra, H / stride, W / stride]."""
        # as x[:, :, ::stride, ::stride], whose gradient would come in another memory layout than all others
        return F.pad(F.avg_pool2d(x, 1, self.stride), (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if inputs != outputs and shortcut == "A":
            self.downsample = ZeroPadding(outputs - inputs, stride)
        elif inputs != outputs:
            projection = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
            self.downsample = nn.Sequential(projection, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output after its last ReLU."""
        inner = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(inner)) + self.downsample(x))


class CifarResNet(nn.Module):
    """A ResNet of depth 6n + 2 with `width`, 2·`width` and 4·`width` channels in its three stages.

    Args:
        depth: 8, 14, 20, …, 56, …
        classes: outputs.
        shortcut: "A", zero padding, or "B", projection, where the number of channels changes.
        width: channels of the first stage; 16 in the paper.
        in_channels: of the images.

    Raises:
        NernError: the depth is not of the form 6n + 2.
    """

    def __init__(self, depth: int, *, classes: int, shortcut: str = "B", width: int = 16, in_channels: int = 3) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise NernError(f"a cifar-resnet has depth 6n + 2 (8, 14, 20, …, 56, …), not {depth}; change the depth")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = self._stage(width, width, blocks, 1, shortcut)
        self.layer2 = self._stage(width, 2 * width, blocks, 2, shortcut)
        self.layer3 = self._stage(2 * width, 4 * width, blocks, 2, shortcut)
        self.fc = nn.Linear(4 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _stage(inputs: int, outputs: int, blocks: int, stride: int, shortcut: str) -> nn.Sequential:
        first = BasicBlock(inputs, outputs, stride, shortcut)
        return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1, shortcut) for _ in range(blocks - 1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits [b, classes] of images [b, in_channels, H, W]."""
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]
