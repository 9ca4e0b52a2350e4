"""`nern init`: look at the weights and the images, try the network, time a fit, write the overlay."""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from nern import matrix, resolved
from nern.config import Config, Execution, read
from nern.errors import NernError
from nern.files import write_text
from nern.init import images, network
from nern.init.options import Options, blaming, completed, validated
from nern.init.overlay import SHARES, Overlay, check_free, parameters_of, sizes_of, variant_of
from nern.method.kernels import KernelLayout
from nern.networks.loading import read_state_dict
from nern.networks.trained_for import TrainedFor, check, of_channels
from nern.stages.artifacts import TrainedOriginal
from nern.stages.cost import fit_seconds
from nern.stages.runtime import device_name, start_in_pieces

log = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> str:
    """Write the overlay that the options describe; returns what was found and what to do next.

    Raises:
        NernError: something is missing, does not fit, or would be overwritten. Nothing is written then.
    """
    base = arguments.config or [Path("config.yaml")]
    check_free(arguments.file, read(base))
    options = completed(arguments)
    validated(Execution, {"device": options.device}, "--device")
    path = network.weights_file(options.weights)
    with blaming(network.WEIGHTS):
        tensors = read_state_dict(path)
    source = images.settings_of(options)
    classes, names = images.classes_of(options, source)
    settings = network.settings_of(options, tensors)
    overlay = Overlay(base, options.file, source, classes, settings, options.device)
    channels = len(options.mean) if options.mean else None
    overlay, module = network.loaded(overlay, tensors, channels, path)

    log.info("reading the images of %s", options.images)
    with blaming(images.OPTION):
        seen = images.look(source, len(overlay.mean), classes)
    said = network.trained_for(options.weights, path)
    overlay = replace(normalized(overlay, options, seen, said), side=min(seen.train.shape[2:]))
    with blaming("--mean, --std"):
        config = overlay.config()
    with blaming(network.WEIGHTS):
        check(said, classes=names, mean=overlay.mean, std=overlay.std, where=str(path))

    with blaming("--device"):
        device, workers = start_in_pieces(config.execution, config.execution.threads.fit)
    shape = (seen.train.shape[1], seen.train.shape[2], seen.train.shape[3])
    original = network.as_original(config, overlay, module, shape)
    predictions = network.tested(module, seen, overlay, device, workers)
    hits = int(predictions.hits.sum())
    overlay = replace(overlay, original=f"right on {hits} of {len(seen.labels)} test images", device=str(device))
    overlay, config = sized(overlay, original)

    log.info("timing a fit")
    seconds = fit_seconds(config, overlay.fit(config), original, shape, device, workers)
    write(overlay)
    if network.near_chance(hits, len(seen.labels), classes):
        log.warning(
            "the network is %s, hardly more than by chance: its classes are in another order than the images', or it "
            "was trained with another normalization (--mean, --std); mend that first",
            overlay.original,
        )
    cells = len(matrix.table_cells(config, overlay.name))
    found = {
        overlay.network_name: _size(original),
        "accuracy": f"{predictions.top(1):.1f} % of {len(seen.labels)} test images, by chance {100 / classes:.3g} %",
        "images": f"{seen.counts['train']:,} to distill on, {seen.counts['test']:,} to test on; {shape[1]}×{shape[2]} "
        f"pixels, {shape[0]} channels; {classes} classes{_few(names)}",
        "normalization": f"mean {overlay.mean}, std {overlay.std}: {overlay.moments}",
        "one cell": f"h {overlay.fit(config).hidden}, {overlay.variant}: about {_duration(seconds)} of iterations on "
        f"{device_name(device)}, threads: {workers.threads}, as busy as it is now",
        "the table": f"{cells} cells, about {_duration(seconds * cells)} one after another",
    }
    lines = [f"{key:<{max(map(len, found))}}  {value}" for key, value in found.items()]
    return "\n".join([f"{overlay.path}: written and tried", *lines, "this makes the table:", f"  {overlay.command()}"])


def normalized(overlay: Overlay, options: Options, seen: images.Seen, said: TrainedFor) -> Overlay:
    """The overlay with mean and deviation: as given, else as the weights say, else of the training images.

    Raises:
        NernError: one is given without the other, or in another unit.
    """
    mean, std = seen.moments()
    if options.mean is None and options.std is None:
        theirs, spread = (of_channels(numbers, len(mean)) for numbers in (said.mean, said.std))
        if len(theirs) == len(spread) == len(mean):
            return replace(overlay, mean=theirs, std=spread, moments="as the weights say")
        moments = f"of {len(seen.train):,} training images; if the network was trained with others, set those"
        return replace(overlay, mean=mean, std=std, moments=moments)
    given, spread = options.mean or [], options.std or []
    if len(given) != len(spread):
        raise NernError("--mean, --std: give both, a number a channel")
    for option, numbers in (("--mean", given), ("--std", spread)):
        if max(map(abs, numbers)) > 1:
            raise NernError(f"{option}: pixels count from 0 to 1, so that {numbers} are too large; divide both by 255")
    if any(abs(theirs - ours) > deviation for theirs, ours, deviation in zip(mean, given, spread, strict=True)):
        log.warning("--mean %s is more than one deviation (--std) away from the training images' %s", given, mean)
    return replace(overlay, mean=given, std=spread, moments=f"as given; the training images have {mean} and {std}")


def sized(overlay: Overlay, original: TrainedOriginal) -> tuple[Overlay, Config]:
    """The overlay with a variant and sizes that suit the network, and the configuration that it makes."""
    layout = KernelLayout(original.shapes, [torch.arange(shape[0] * shape[1]) for shape in original.shapes])
    overlay = replace(overlay, variant=variant_of(sum(layout.counts)))
    config = overlay.config()
    matrix.check(config)
    protocol = resolved.protocol_of(config, overlay.fit(config))
    sizes = sizes_of(protocol, layout)
    shares = [round(100 * parameters_of(protocol, layout, size) / layout.parameters) for size in sizes]
    if shares[0] > 100 * SHARES[-1]:
        log.warning(
            "only %s weights are learned: the smallest predictor takes %d %% of their bytes, and none is worth it",
            f"{layout.parameters:,}",
            shares[0],
        )
    overlay = replace(overlay, sizes=sizes, shares=shares)
    return overlay, overlay.config()


def write(overlay: Overlay) -> None:
    """Write the file, if there is none; NernError if there is, or it cannot be written."""
    try:
        overlay.path.touch(exist_ok=False)  # of two that write at once the second fails
    except OSError as error:
        raise NernError(f"{overlay.path}: cannot be written ({error.strerror}); choose another name") from None
    try:
        write_text(overlay.path, overlay.text())
    except NernError:
        overlay.path.unlink()
        raise


def _size(original: TrainedOriginal) -> str:
    count = sum(weight.numel() for weight in original.weights)
    return f"{count:,} weights to learn ({count * 4 / 2**20:.2f} MiB) in {len(original.layers)} layers"


def _few(names: list[str]) -> str:
    return f": {', '.join(names[:10])}{', …' if len(names) > 10 else ''}" if names else ""


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.0f} h"
