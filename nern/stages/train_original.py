"""Stage `train_original`: an original network, imported or trained by METHOD's recipe (He et al. 2015, section 4.2)."""

import contextlib
import json
import logging
import math
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nern import checkpoint, files
from nern.addresses import MANIFEST, OriginalCell, data_path, manifest_path
from nern.code_digest import code_digest
from nern.config import Config, expand, fingerprint
from nern.data.batches import LabeledBatches, TestBatches, training_images
from nern.data.pipeline import completed_epochs, epochs_to_steps
from nern.data.prepared import read_manifest
from nern.errors import NernError
from nern.method.precision import passes_in, widened
from nern.method.smoothness import smoothness_loss
from nern.method.workers import Workers
from nern.networks.learnable import learnable_layers, weight_of
from nern.networks.loading import load_weights, read_state_dict
from nern.networks.onednn import around_overruns
from nern.networks.pretrained import pretrained_file
from nern.networks.probe import probe
from nern.networks.trained_for import check, said_by_file, said_by_torchvision
from nern.resolved import network_of, original_settings, task_of
from nern.seeding import derive
from nern.settings import Original
from nern.stages.accuracy import predict
from nern.stages.artifacts import build_network, network_file, write_predictions
from nern.stages.runtime import Run, provenance, start

log = logging.getLogger(__name__)
TEST_BATCH = 500


def run(config: Config, original: OriginalCell) -> None:
    """Write `network.safetensors`, `predictions.safetensors`, `metrics.json` and `train.json` of one original.

    Raises:
        NernError: the images are missing, the network cannot be learned, the weights to import do not fit, or the loss
            is no longer finite.
    """
    settings = original_settings(config, original)
    device = start(config.execution, config.execution.threads.train_original)
    folder, images = Path(original.path), Path(data_path(original.task))
    probe(
        lambda: build_network(config, original),
        classes=settings.data.classes,
        shape=read_manifest(images, settings.data).shape,
        learnable=network_of(config, original.task, original.network).learnable,
        trained=settings.recipe.weights is None,
    )
    with files.exclusive(folder):
        tests = TestBatches(config, original.task, batch=TEST_BATCH, device=device, channels_last=True)
        inputs = {manifest_path(original.task): files.sha256(images / MANIFEST)}
        with _seeded(settings.recipe):
            module = build_network(config, original)
        accuracies: list[float] = []
        clock = Run(folder, original.network, 1, device, save_every=config.execution.save_every)
        if settings.recipe.weights is not None:
            path = _weights_file(settings.recipe.weights, original)
            load_weights(module, read_state_dict(path), str(path))
            _check_trained_for(config, original, settings.recipe.weights, path)
            inputs["weights"] = files.sha256(path)
            module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        else:
            training = Training(config, original, module, tests, device, inputs)
            clock, accuracies = training.run(folder, config.execution.save_every)
        predictions = predict(module.eval(), tests, Workers(), original.path)  # which may refuse it: nothing is written
        tensors = {name: value.contiguous() for name, value in module.state_dict().items()}
        facts = provenance("train_original", inputs)
        # not by which code: the same weights are the same file, so that what later versions make of them is comparable
        checkpoint.write_tensors(network_file(original), tensors, {"fingerprint": fingerprint(settings)})
        digest = files.sha256(network_file(original))
        write_predictions(original, predictions, digest)
        metrics = {
            "original": original.path,
            "accuracy": predictions.top(1),
            "top5_accuracy": predictions.top(5),
            "best_on_test_accuracy": max(accuracies, default=None),
            "best_on_test_epoch": accuracies.index(max(accuracies)) + 1 if accuracies else None,
            "epochs": len(accuracies),
            "imported": settings.recipe.weights is not None,
            "test_images": len(predictions.labels),
            "fingerprint": fingerprint(settings),
            "network_sha256": digest,
        }
        made_by = {key: clock.made_by[key] for key in ("device", "versions", "git_commit")}
        files.write_json(folder / "metrics.json", metrics | facts | made_by)
        files.write_json(folder / "train.json", clock.record(config.execution.threads.train_original))
        checkpoint.State(folder, "").clear()
    log.info("%s: %.2f %% of %d test images", original.path, metrics["accuracy"], metrics["test_images"])


def _weights_file(weights: str, original: OriginalCell) -> Path:
    """The file to import, which torchvision's weights become once they are downloaded."""
    kind, _, name = weights.partition(":")
    return pretrained_file(name) if kind == "torchvision" else expand(weights, f"originals.{original.name}.weights")


def _check_trained_for(config: Config, original: OriginalCell, weights: str, path: Path) -> None:
    """Refuse weights that are known to have been trained for classes in another order, or other means."""
    kind, _, name = weights.partition(":")
    said = said_by_torchvision(name) if kind == "torchvision" else said_by_file(path)
    task, classes = task_of(config, original.task), read_manifest(Path(data_path(original.task))).class_names
    check(said, classes=classes, mean=task.mean, std=task.std, where=str(path))


@contextlib.contextmanager
def _seeded(recipe: Original) -> Iterator[None]:
    """Initialize modules from a named stream; torch's initializers know only the global generator: it is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(recipe.seed, "original-initialization"))
        yield


class Training:
    """An original in training."""

    def __init__(
        self,
        config: Config,
        original: OriginalCell,
        module: nn.Module,
        tests: TestBatches,
        device: torch.device,
        inputs: dict[str, str],
    ) -> None:
        self.original, self.tests, self.device = original, tests, device
        settings = original_settings(config, original)
        self.recipe = recipe = settings.recipe
        self.module = module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.images: LabeledBatches = training_images(
            config,
            original.task,
            batch=recipe.batch,
            seed=recipe.seed,
            purpose="original",
            device=device,
            channels_last=True,
        )
        self.total = epochs_to_steps(recipe.epochs, self.images.count, recipe.batch)
        self.optimizer = torch.optim.SGD(
            module.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        learnable = network_of(config, original.task, original.network).learnable
        self.smooth: list[Tensor] = []
        if recipe.smoothness > 0:
            names = learnable_layers(module, include=learnable)
            self.smooth = [weight_of(module, name) for name in names]
        self.accuracies: list[float] = []
        self.key = "/".join(
            [fingerprint(settings), code_digest("nern.stages.train_original"), device.type, *inputs.values()]
        )

    def run(self, folder: Path, save_every: float) -> tuple[Run, list[float]]:
        """Train to the end, from the saved state if there is one; returns the clock and each epoch's accuracy."""
        state = checkpoint.State(folder, self.key)
        saved = state.load(log.warning)
        said = saved and saved[1]
        clock = Run(folder, self.original.network, self.total, self.device, saved=said, save_every=save_every)
        if saved is not None:
            self.accuracies = json.loads(saved[1]["accuracies"])
            self._restore(saved[0])
            log.info("%s: resumes at step %d of %d", self.original.path, clock.first, self.total)
        clock.best = max(self.accuracies, default=None)
        self.module.train()
        devices = [self.device] if self.device.type == "cuda" else []
        with contextlib.closing(clock), self.images, torch.random.fork_rng(devices):
            for step in range(clock.first, self.total):
                loss = self._step(step)
                ended = completed_epochs(step + 1, self.images.count, self.recipe.batch) - len(self.accuracies)
                if ended:
                    self._stop_if_not_finite(loss, step + 1)
                    # a batch that is larger than the data ends several epochs at once
                    self.accuracies += [self._tested()] * ended
                    clock.step(step + 1, loss=loss.item(), accuracy=self.accuracies[-1])
                elif clock.wants_line():
                    self._stop_if_not_finite(loss, step + 1)
                    clock.step(step + 1, loss=loss.item())
                else:
                    clock.step(step + 1)
                if step + 1 < self.total and clock.wants_save():
                    accuracies = {"accuracies": json.dumps(self.accuracies)}
                    state.save(self._tensors(), clock.facts(step + 1) | accuracies)
        return clock, self.accuracies

    def _tested(self) -> float:
        return predict(self.module, self.tests, Workers(), self.original.path).top(1)

    def _step(self, step: int) -> Tensor:
        torch.manual_seed(derive(self.recipe.seed, "original-step", step))  # dropout knows only the global generators
        epoch = completed_epochs(step, self.images.count, self.recipe.batch)
        lr = self.recipe.lr * self.recipe.gamma ** sum(epoch >= milestone for milestone in self.recipe.milestones)
        self.optimizer.param_groups[0]["lr"] = lr
        return descend(self.module, self.optimizer, *self.images.labeled(step), self.recipe, self.smooth)

    def _stop_if_not_finite(self, loss: Tensor, step: int) -> None:
        if not math.isfinite(loss.item()):
            raise NernError(
                f"{self.original.path}: the loss is {loss.item()} at step {step}; lower the original's learning rate"
            )

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {f"module.{name}": value for name, value in self.module.state_dict().items()}
        for index, parameter in enumerate(self.module.parameters()):
            momentum = self.optimizer.state[parameter].get("momentum_buffer")
            if momentum is not None:
                tensors[f"momentum.{index}"] = momentum
        return tensors

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        prefix = "module."
        self.module.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
        for index, parameter in enumerate(self.module.parameters()):
            if f"momentum.{index}" in tensors:
                self.optimizer.state[parameter]["momentum_buffer"] = tensors[f"momentum.{index}"].to(
                    self.device,
                    memory_format=torch.channels_last if parameter.dim() == 4 else torch.contiguous_format,
                )


def descend(
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    inputs: Tensor,
    labels: Tensor,
    recipe: Original,
    smooth: list[Tensor],
) -> Tensor:
    """Take one step, and return the loss before it.

    Args:
        module: the network, in training mode.
        optimizer: of its parameters.
        inputs: float32 [b, C, H, W].
        labels: int64 [b].
        recipe: its precision and its smoothness.
        smooth: the weights that are to be smooth; empty if none.
    """
    optimizer.zero_grad(set_to_none=True)
    with passes_in(recipe.precision, inputs.device), around_overruns(module):
        loss = F.cross_entropy(widened(module(inputs)), labels)
        if smooth:
            loss = loss + recipe.smoothness * smoothness_loss(smooth)
        loss.backward()
    optimizer.step()
    return loss.detach()
