"""Sources of images: every kind that the configuration knows is read into the same tensors (paper, section 4).

A split is `(images, labels)`: uint8 [n, C, H, W] and int64 [n]. Nothing is normalized or augmented here.
"""

from nern.config import expand
from nern.data.splits import Splits
from nern.settings import DigitsImages, FolderImages, Images, ParquetImages


def read_source(images: Images, where: str, channels: int = 3, classes: int | None = None) -> Splits:
    """The train and the test split of a task.

    Args:
        images: The task's `images` settings.
        where: Their place in the configuration, for messages (`tasks.cifar10.images`).
        channels: What the network takes: 1 refuses images in color, 3 turns gray into color.
        classes: How many class folders there must be, for a source that numbers them itself.

    Raises:
        NernError: something cannot be found, downloaded or decoded.
    """
    # Each reader is imported with its own heavy library only when a task needs it.
    if isinstance(images, DigitsImages):
        from nern.data.digits import read_digits

        return read_digits(images.test_fraction)
    if isinstance(images, ParquetImages):
        from nern.data.parquet import read_parquet

        return read_parquet(images, where, channels)
    if isinstance(images, FolderImages):
        from nern.data.folders import read_folders

        return read_folders(images, where, channels, classes)
    from nern.data.torchvision_sets import read_torchvision

    return read_torchvision(images, where)


def class_names(images: Images, where: str) -> list[str]:
    """What the classes are called, in the order of their labels; empty if the source does not say.

    Raises:
        NernError: as `read_source`.
    """
    if isinstance(images, DigitsImages):
        return [str(digit) for digit in range(10)]
    if isinstance(images, ParquetImages):
        from nern.data.parquet import label_names

        return label_names(images, where)
    if isinstance(images, FolderImages):
        from nern.data.folders import list_classes

        return list_classes(expand(images.train, f"{where}.train"), f"{where}.train")
    from nern.data.torchvision_sets import label_names as torchvision_names

    return torchvision_names(images, where)
