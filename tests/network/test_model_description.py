"""A model file from anywhere: its description is checked before anything is built, and nothing is fetched."""

from __future__ import annotations

import copy
import json
import random
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch

from bier.errors import BierError, ModelError
from bier.method.ensemble import EmbeddingEnsemble
from bier.network.create import create_backbone
from bier.network.model import RetrievalModel
from bier.network.model_file import load_model, save_model
from bier.system.tensors import MODEL_FORMAT, save_tensors

SMALL = "mobilenetv3_small_050"
IMAGE = {"size": 64, "fit": "crop"}
SEED = 20_240_613
MUTANTS = 150
STRANGE = [
    *(None, True, -1, 0, 1e9, 10**9, 10**400, 1e-300, float("nan"), float("inf")),
    *("", "hf-hub:a/b", "local-dir:/", "\0", "\ud800", "x" * 5000),
    *([], {}, [[]], {"a": None}, [None] * 5),
]


@pytest.fixture(scope="module")
def model() -> RetrievalModel:
    torch.manual_seed(0)
    backbone = create_backbone(SMALL, "none")
    return RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (4, 8))).eval()


@pytest.fixture(scope="module")
def content(model: RetrievalModel) -> dict[str, Any]:
    """What a good description says."""
    return {"backbone": model.backbone.spec(), "sizes": [4, 8], "weighting": "boosting", "image": IMAGE}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """No test may reach for the network; who tries is noted."""
    tried: list[object] = []

    def connect(self: socket.socket, address: object) -> None:
        tried.append(address)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *names, **options: tried.append(names) or [])
    yield tried
    assert not tried


def changed(content: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    """The description with another value at ``a.b``."""
    result = copy.deepcopy(content)
    *parents, last = place.split(".")
    inside = result
    for key in parents:
        inside = inside[key]
    inside[last] = value
    return result


def write(path: Path, model: RetrievalModel, content: object) -> Path:
    """A file whose checksums hold, whatever it says."""
    save_tensors(path, model.state_dict(), MODEL_FORMAT, content)  # type: ignore[arg-type]
    return path


def write_text(path: Path, model: RetrievalModel, text: str) -> Path:
    """A file with any text as its description, as an older version or a stranger may have written it."""
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(tensors, path, metadata={"bier": text})
    return path


def test_a_good_description_is_taken(model: RetrievalModel, content: dict[str, Any], tmp_path: Path) -> None:
    _, info = load_model(write(tmp_path / "m.safetensors", model, content))
    assert dict(info.image) == IMAGE


@pytest.mark.parametrize("pooling", [True, False])
def test_a_model_of_an_older_version_opens(
    pooling: bool, model: RetrievalModel, content: dict[str, Any], tmp_path: Path
) -> None:
    """Without checksums; and before pooling could be chosen."""
    older = copy.deepcopy(content)
    if not pooling:
        del older["backbone"]["pooling"]
    text = json.dumps({"format": MODEL_FORMAT, "content": older})
    loaded, _ = load_model(write_text(tmp_path / "m.safetensors", model, text))
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("backbone.name", "hf-hub:timm/resnet18.a1_in1k", r"'backbone\.name' does not fit.*no place to fetch"),
        ("backbone.name", "hf_hub:timm/resnet18", "no place to fetch"),
        ("backbone.name", "local-dir:/etc", "no place to fetch"),
        ("backbone.name", "x" * 10_000, "text of 1 to 200 characters"),
        ("backbone.name", None, "found null"),
        ("backbone.name", "../../weights", "unknown backbone"),
        ("backbone.name", "mobilenetv3_small_075", "has the shape"),
        ("backbone.name", "mobilenetv2_050", "is (missing|unknown)"),
        ("backbone.name", "vit_giant_patch14_224", "far more than"),
        ("backbone.weights", "default", r"'backbone\.weights' is unknown here"),
        ("backbone.pretrained", True, r"'backbone\.pretrained' is unknown here"),
        ("backbone.pooling", "auto", "expected 'average' or 'gem'"),
        ("backbone.mean", [0.5, 0.5], "a list of 3 entries"),
        ("backbone.mean", [0.5, 0.5, float("nan")], r"mean\[2\].*found nan"),
        ("backbone.std", [1, 1, 0], r"std\[2\]"),
        ("backbone.std", [1, 1, float("inf")], r"std\[2\].*found inf"),
        ("sizes", [4, 9], "learners of 13 dimensions need a head of as many rows"),
        ("sizes", [4, 1_000_000_000], r"sizes\[1\]"),
        ("sizes", [1] * 2000, "a list of 1 to 1,024 entries"),
        ("sizes", [], "a list of 1 to 1,024 entries"),
        ("sizes", [12.0], "found 12"),
        ("sizes", [True, 11], "found true"),
        ("sizes", 12, "found 12"),
        ("weighting", "random", "'boosting' or 'size' or 'equal'"),
        ("weighting", [0.5, 0.3, 0.2], "2 learners need as many weights, and there are 3"),
        ("weighting", [0.5, 0], r"weighting\[1\]"),
        ("weighting", [0.5, float("nan")], r"weighting\[1\].*found nan"),
        ("refit", {"power": 0, "share": 0, "before": 0, "after": 1, "rotated": 1}, "true or false"),
        ("image.size", 1_000_000, "a whole number from 1 to 4,096, found 1000000"),
        ("image.size", 10**300, "more than 60 digits"),
        ("image.size", 0, "a whole number from 1 to 4,096"),
        ("image.fit", "squeeze", "'crop' or 'stretch' or 'pad'"),
        ("image.extra", {}, r"'image\.extra' is unknown here"),
        ("evil", {}, "'evil' is unknown here"),
    ],
)
def test_what_a_description_may_not_say(
    place: str, value: object, message: str, model: RetrievalModel, content: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "m.safetensors", model, changed(content, place, value))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=message) as caught:
        load_model(path)
    assert caught.value.where == str(path)
    assert len(str(caught.value)) < 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000, "kB that it took"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "of kind 'unknown'"),
        ("null", "of kind 'unknown'"),
        ("[]", "of kind 'unknown'"),
        ("7", "of kind 'unknown'"),
        ("{", "broken JSON"),
        ("no JSON", "broken JSON"),
        ("[" * 100_000, "nested too deeply"),
        ('{"format": ' + "[" * 500 + "]" * 500 + "}", "of kind"),
        ('{"format": "bier-model-1"}', "'content' is missing"),
        ('{"format": "bier-model-1", "content": null}', "'the whole' does not fit|the whole does not fit"),
        ('{"format": "bier-model-1", "content": [1]}', "expected an object"),
        ('{"format": "bier-model-1", "content": {}}', "'backbone' is missing"),
        ('{"format": "bier-model-1", "content": {"backbone": {"backbone": {}}}}', r"'sizes' is missing"),
        ('{"format": "bier-model-1", "content": {"sizes": ' + "9" * 5000 + "}}", "description cannot be used"),
        ('{"format": "bier-model-1", "content": {}, "tensors": {}}', "'check' is missing"),
        ('{"format": "bier-model-1", "content": {}, "tensors": [], "check": "00000000"}', "'tensors' does not fit"),
        ('{"format": "bier-model-1", "content": "' + " " * (9 << 20) + '"}', "more than 8,388,608"),
    ],
)
def test_descriptions_that_are_none(text: str, message: str, model: RetrievalModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(write_text(tmp_path / "m.safetensors", model, text))
    assert len(str(caught.value)) < 1000


def nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every place in JSON where something stands: what it stands in, and its key there."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in items for place in [(value, key), *nodes(part)]]


def mutate(description: Any, random: random.Random) -> str:
    """The description's text with one or two things changed."""
    description = copy.deepcopy(description)
    strange = copy.deepcopy(STRANGE)
    for _ in range(random.randint(1, 2)):
        inside, key = random.choice(nodes(description))
        kind = random.randrange(4)
        if kind == 0:
            inside[key] = random.choice(strange)
        elif kind == 1:
            del inside[key]
        elif kind == 2 and isinstance(inside, dict):
            inside[random.choice(["weights", "__class__", "size", "x" * 300])] = random.choice(strange)
        else:
            inside[key] = copy.deepcopy(random.choice([inside, *description.values()]))
        if not nodes(description):
            break
    text = json.dumps(description)
    if random.random() < 0.2:
        cut = random.randrange(len(text))
        text = text[:cut] + random.choice(["", "[" * 5000, "\x00", "}", '"']) + text[cut + random.randrange(3) :]
    return text


@pytest.mark.slow
def test_mutated_descriptions_end_in_a_message(model: RetrievalModel, content: dict[str, Any], tmp_path: Path) -> None:
    chance, path = random.Random(SEED), tmp_path / "m.safetensors"
    good = {"format": MODEL_FORMAT, "content": content}
    messages = [message(write_text(path, model, mutate(good, chance))) for _ in range(MUTANTS)]
    assert messages.count(None) < MUTANTS / 4, "most mean no model any more"
    assert max(len(text) for text in messages if text is not None) < 1000


def message(path: Path) -> str | None:
    """What is said of a file; nothing, where it is a model still."""
    try:
        load_model(path)
    except BierError as error:
        return str(error)
    return None


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("name", ["backbone.network.conv_stem.weight", "head.linear.bias"])
def test_weights_that_are_not_finite_are_named(
    name: str, bad: float, model: RetrievalModel, content: dict[str, Any], tmp_path: Path
) -> None:
    twin = copy.deepcopy(model)
    twin.state_dict()[name].view(-1)[-1] = bad
    save_model(tmp_path / "m.safetensors", twin, IMAGE)
    with pytest.raises(ModelError, match=rf"'{name}' holds NaN or infinity \(1 of"):
        load_model(tmp_path / "m.safetensors")


def test_a_model_of_a_folders_network_needs_no_folder(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network, folder = timm.create_model(SMALL, num_classes=3), tmp_path / "network"
    folder.mkdir()
    timm.models.save_for_hf(network, str(folder), safe_serialization=True)
    backbone = create_backbone(f"local-dir:{folder}")
    assert backbone.name == SMALL
    model = RetrievalModel(backbone, EmbeddingEnsemble(backbone.features, (4, 8))).eval()
    save_model(tmp_path / "m.safetensors", model, IMAGE)
    for file in folder.iterdir():
        file.unlink()
    loaded, _ = load_model(tmp_path / "m.safetensors")
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(loaded(images), model(images))


def test_a_folder_that_changes_the_architecture_is_refused(tmp_path: Path) -> None:
    """Its tensors are those of the architecture, but not what it does with them."""
    network = timm.create_model(SMALL, num_classes=3)
    timm.models.save_for_hf(network, str(tmp_path), {"model_args": {"act_layer": "silu"}}, safe_serialization=True)
    with pytest.raises(ModelError, match=f"changes the architecture '{SMALL}'"):
        create_backbone(f"local-dir:{tmp_path}")
