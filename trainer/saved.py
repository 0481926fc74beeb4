"""Trained folds on disk: safetensors files that hold a network and all that is needed to use it again."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from flowkit.errors import InputError, OutputError
from flowkit.output.files import make_folder, put
from trainer.inputs import arranged
from trainer.models import build_model
from trainer.models.svc import SupportVectors
from trainer.normalisation import Normaliser
from trainer.run_folder import KEY, RunFolder
from trainer.train import Trained
from trainer.types import RunConfig


def save_trained(folder: RunFolder, index: int, trained: Trained) -> None:
    """Writes a fold's weights, whole or not at all; raises InputError for a model that is no network."""
    if isinstance(trained.model, SupportVectors):
        raise InputError("model='svc' has no weights to save; leave out --save-weights")
    path = folder.weights_path(index)
    make_folder(path.parent)
    state, shared = {}, {}
    first: dict[int, str] = {}
    for name, value in trained.model.state_dict().items():
        if (owner := first.setdefault(value.data_ptr(), name)) != name and value.numel():
            shared[name] = owner  # one backbone in both places: the format stores no tensor twice
        else:
            state[name] = value.detach().cpu().contiguous()
    about = {"ethnic_classes": trained.ethnic_classes, "epoch": trained.epoch, "shared": shared}
    about |= {"normalise": trained.normalise.name, "scale": trained.normalise.scale}
    # Its own writing of a file tells a full disk by an error that is no OSError.
    put(path, partial(_write, save(state, metadata={KEY.decode(): json.dumps(about)})))


def load_trained(run: Path, index: int) -> Trained:
    """A fold's network in evaluation mode, with its normalisation, from the folder of a run (without its curves).

    Raises OutputError where the folder is no run, or the fold's weights were not saved or are damaged; InputError for a
    run of svc.
    """
    folder = RunFolder(Path(run))
    record = folder.record()
    config, side = config_of(record), record["input"]["cube_shape"][1]
    if config.model == "svc":
        raise InputError("model='svc' has no weights to load; give a run of a network")
    path = folder.weights_path(index)
    if not path.exists():
        raise OutputError(f"{path}: was not saved; run the same command again with --save-weights")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()[KEY.decode()])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            f"{path} is damaged; remove it, and run the same command again with --save-weights"
        ) from error
    model = build_model(
        config.model,
        classes=len(config.classes),
        ethnic_classes=len(about["ethnic_classes"]),
        fusion=config.fusion,
        shared=config.shared,
    )
    model.load_state_dict(state | {name: state[owner] for name, owner in about["shared"].items()}, strict=True)
    normalise = Normaliser(about["normalise"], about["scale"] and tuple(about["scale"]))
    model = arranged(model, torch.device("cpu"), side).eval()
    return Trained(model, normalise, tuple(about["ethnic_classes"]), [], about["epoch"])


def config_of(record: dict[str, Any]) -> RunConfig:
    """The configuration that a run's config.json holds."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in record["config"].items()}
    return RunConfig(**values)


def _write(content: bytes, path: Path) -> None:
    path.write_bytes(content)
