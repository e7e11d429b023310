"""Exported files that are damaged, or made to do harm: they end in a message that names the file."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from torch import Tensor

from bier.errors import BierError, ModelError
from bier.export import OnnxEncoder, ProgramEncoder, write_program
from bier.export import description as descriptions
from bier.export.encoders import LARGEST, refuse_other_files
from bier.vectors.encoder import Encoder

SEED = 20_240_613


def described(path: Path, text: str) -> bytes:
    """An ONNX file with another description, as an older version or a stranger may have written it."""
    graph = onnx.load(path)
    del graph.metadata_props[:]
    graph.metadata_props.add(key="bier", value=text)
    return bytes(graph.SerializeToString())


@pytest.fixture(scope="session")
def good(onnx_file: Path) -> dict[str, Any]:
    """The description of a file without a checksum."""
    description = dict(OnnxEncoder.load(onnx_file).description)
    del description["checksum"]
    return description


def test_a_file_of_an_older_version_opens(onnx_file: Path, good: dict[str, Any]) -> None:
    older = OnnxEncoder.of(described(onnx_file, json.dumps(good)), onnx_file)
    assert dict(older.description) == good


def test_flipped_bits_in_an_onnx_file_are_noticed(onnx_file: Path) -> None:
    content, chance = onnx_file.read_bytes(), random.Random(SEED)
    description = OnnxEncoder.load(onnx_file).description
    whole = (0, len(content))
    inside = (content.rindex(b'"format"'), len(content))
    for begin, end in [whole] * 60 + [inside] * 60:
        bad = bytearray(content)
        bad[chance.randrange(begin, end)] ^= 1 << chance.randrange(8)
        with pytest.raises(ModelError):
            descriptions.check_seal(bytes(bad), description, onnx_file)
    for _ in range(10):
        bad = bytearray(content)
        bad[chance.randrange(*inside)] ^= 1 << chance.randrange(8)
        with pytest.raises(ModelError):
            OnnxEncoder.of(bytes(bad), onnx_file)


@pytest.mark.slow
def test_flipped_bits_in_a_program_are_noticed(encoder: Encoder, images: Tensor, tmp_path: Path) -> None:
    write_program(encoder, tmp_path / "m.pt2", images)
    content, chance = (tmp_path / "m.pt2").read_bytes(), random.Random(SEED)
    weights = content.index(encoder.model.head.linear.weight.detach().numpy().tobytes())
    for _ in range(10):
        bad = bytearray(content)
        bad[weights + chance.randrange(4000)] ^= 1 << chance.randrange(8)
        with pytest.raises(ModelError, match="is damaged"):
            ProgramEncoder.of(bytes(bad), "m.pt2")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sizes", [8, 17], "'sizes' sum to 25, not to 24"),
        ("sizes", [10**9], r"'sizes\[0\]' does not fit"),
        ("dimensions", 25, "'sizes' sum to 24, not to 25"),
        ("scales", [1.0], "are not those of 2 learners"),
        ("scales", [1.0, 0.0], r"'scales\[1\]' does not fit"),
        ("scales", [1.0, float("inf")], r"'scales\[1\]' does not fit"),
        ("prefix_scales", [[1.0], [1.0]], "are not those of 2 learners"),
        ("image", {"size": 1_000_000, "fit": "crop"}, r"'image\.size' does not fit"),
        ("image", {"size": 128, "fit": "crop"}, "does not fit its own description"),
        ("image", {"size": 64, "fit": "crop", "filter": "nearest"}, r"'image\.filter' does not fit"),
        ("image", None, "'image' does not fit"),
        ("fingerprint", {}, "'fingerprint' does not fit"),
        ("weights", "default", "'weights' is unknown here"),
        ("format", "bier-export-9", "was not written by this version"),
    ],
)
def test_what_a_description_may_not_say(
    key: str, value: object, message: str, onnx_file: Path, good: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        OnnxEncoder.of(described(onnx_file, json.dumps({**good, key: value})), "foreign.onnx")
    assert caught.value.where == "foreign.onnx"


@pytest.mark.parametrize("text", ["", "null", "[]", "7", "{", "[" * 100_000, '{"format": []}', " " * 2_000_000])
def test_descriptions_that_are_none(text: str) -> None:
    with pytest.raises(ModelError, match=r"was not written by|cannot be used"):
        descriptions.from_json(text, "foreign.onnx")


def test_mutated_descriptions_end_in_a_message(good: dict[str, Any]) -> None:
    chance, opened = random.Random(SEED), 0
    strange = [None, True, -1, 1e9, 10**400, float("nan"), "", "\ud800", "x" * 5000, [], {}, [[]], {"a": None}]
    for _ in range(2000):
        mutant = copy.deepcopy(good)
        inside = chance.choice([mutant, mutant, mutant["image"], mutant["sizes"], mutant["prefix_scales"]])
        key = chance.choice(list(inside)) if isinstance(inside, dict) else chance.randrange(len(inside))
        inside[key] = copy.deepcopy(chance.choice(strange))
        text = json.dumps(mutant)
        try:
            opened += bool(descriptions.from_json(text[: chance.choice([None, len(text) // 2])], "m.onnx"))
        except BierError as error:
            assert len(str(error)) < 1000  # noqa: PT017 (most are expected)
    assert opened < 1000


def elsewhere(location: str) -> TensorProto:
    """A tensor whose values lie in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def graph_with(tensor: TensorProto, place: str) -> bytes:
    """A graph that adds it to its input; or that hides it in an attribute, or in a branch."""
    shape = helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])
    add = helper.make_node("Add", ["x", "w"], ["y"])
    nodes, weights = [add], [tensor]
    if place == "attribute":
        nodes, weights = [helper.make_node("Constant", [], ["w"], value=tensor), add], []
    if place == "branch":
        branch = helper.make_graph([helper.make_node("Identity", ["w"], ["b"])], "b", [], [result], [tensor])
        nodes, weights = [helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)], []
    graph = helper.make_graph(nodes, "g", [shape], [result], weights)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]).SerializeToString())


@pytest.mark.parametrize("place", ["initializer", "attribute", "branch"])
@pytest.mark.parametrize("location", ["w.bin", "../secret.bin", "/etc/passwd", "link.bin", "/dev/zero", ""])
def test_an_onnx_file_never_leads_to_another_file(
    location: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.arange(4, dtype=np.float32).tofile("w.bin")
    os.symlink("/etc/passwd", "link.bin")
    Path("m.onnx").write_bytes(graph_with(elsewhere(location), place))
    with pytest.raises(ModelError, match="keeps weights in other files") as caught:
        OnnxEncoder.load("m.onnx")
    assert caught.value.where == "m.onnx"


def test_another_way_to_write_the_same_key() -> None:
    """Protobuf allows numbers with needless bytes."""
    key = b"\x8a\x00\x88\x80\x00location\x12\x05w.bin"
    content = b"\x6a" + bytes([len(key)]) + key
    tensor = TensorProto()
    tensor.ParseFromString(content)
    assert tensor.external_data[0].key == "location"
    with pytest.raises(ModelError, match="keeps weights in other files"):
        refuse_other_files(content, "m.onnx")
    refuse_other_files(b"\x0a\x0ballocation\x0a\x08relocation", "a name that is another")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(ModelError, match=r"has 2\.1 GB, too much for one ONNX file"):
        OnnxEncoder.load(tmp_path / "m.onnx")


FULL = """
import resource, sys
from pathlib import Path
import torch
from bier.errors import StorageError
from bier.export import write_program
from bier.vectors.encoder import Encoder
encoder = Encoder.load(sys.argv[1])
size = encoder.transform.size
images = torch.randint(0, 256, (3, 3, size, size), dtype=torch.uint8)
if len(sys.argv) > 3:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    write_program(encoder, Path(sys.argv[2]), images)
except StorageError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""
SMALL_DISK = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'


@pytest.mark.slow
def test_a_program_that_breaks_off_in_its_midst(run_folder: Path, tmp_path: Path) -> None:
    """No file may have more than a megabyte."""
    message = printed([sys.executable, "-c", FULL, str(run_folder), str(tmp_path / "m.pt2"), "1000000"])
    assert message[0] == f"{tmp_path / 'm.pt2'}: cannot be written: File too large"
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_program_on_a_full_disk(run_folder: Path, tmp_path: Path) -> None:
    """A disk of one megabyte."""
    small = ["unshare", "-Urm", "sh", "-c", SMALL_DISK, str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*small, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    message = printed([*small, sys.executable, "-c", FULL, str(run_folder), str(tmp_path / "m.pt2")])
    assert message[0] == f"{tmp_path / 'm.pt2'}: cannot be written: the disk is full"


def printed(command: list[str]) -> list[str]:
    """The two lines of an error: what and where, and the remedy."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 2, done.stderr
    return lines


def test_the_checksum_is_that_of_the_whole_file(onnx_file: Path) -> None:
    """As docs/export.md says: with zeros in its own place."""
    checksum = OnnxEncoder.load(onnx_file).description["checksum"]
    assert f"{zlib.crc32(onnx_file.read_bytes().replace(checksum.encode(), b'0' * 8)):08x}" == checksum
