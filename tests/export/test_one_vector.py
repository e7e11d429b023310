"""One picture has one vector, by whichever way it comes: evaluation, `bier embed`, an index, an ONNX file, HTTP."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from fastapi.testclient import TestClient
from odd_pictures import odd_pictures

from bier.data.manifest import Manifest
from bier.export import OnnxEncoder
from bier.search import IndexInfo, create_index
from bier.search.fill import fill
from bier.serve import create_app
from bier.vectors.catalogue import embed_catalogue, embedded
from bier.vectors.embed import embed
from bier.vectors.encoder import Encoder
from bier.vectors.parts import read_vectors
from bier.vectors.sources import open_catalogue


def test_every_way_gives_one_vector(encoder: Encoder, onnx_file: Path, photos: Path, tmp_path: Path) -> None:
    pictures = odd_pictures(next(photos.rglob("*.jpg")))
    folder = tmp_path / "odd"
    folder.mkdir()
    for name, content in pictures.items():
        (folder / name).write_bytes(content)
    names = list(pictures)
    expected = encoder.encode([encoder.prepare(folder / name) for name in names]).numpy()
    manifest = Manifest.of(folder, "odd", image=names, label=["a"] * len(names))

    made = embed(encoder.model, manifest, transform=encoder.transform)
    ways = {"evaluate": torch.cat([s * z for s, z in zip(encoder.scales, made.learners, strict=True)], 1).numpy()}
    exported = OnnxEncoder.load(onnx_file)
    for way, one in (("embed", encoder), ("embed with ONNX", exported)):
        embed_catalogue(one, folder, tmp_path / way)
        stored = {
            name: row
            for batch in read_vectors(tmp_path / way)
            for name, row in zip(batch.ids, batch.vectors, strict=True)
        }
        ways[way] = np.stack([stored[name] for name in names])
    ways["ONNX"] = exported.encode([exported.prepare(content) for content in pictures.values()]).numpy()
    for way, one in (("a copy sent elsewhere", encoder), ("a copy of ONNX", exported)):
        copy = pickle.loads(pickle.dumps(one))  # noqa: S301 - as Ray does with what this process gives it
        ways[way] = copy.encode([copy.prepare(folder / name) for name in names]).numpy()
    info = IndexInfo(encoder.fingerprint, encoder.sizes, encoder.scales)
    with create_index(tmp_path / "index", info) as index:
        fill(index, embedded(encoder, open_catalogue(folder), print))
        ways["index"] = np.stack([record.vector for record in index.get(names) if record is not None])
        with TestClient(create_app(index, encoder)) as client:
            answers = [client.post("/api/embed", files={"picture": content}) for content in pictures.values()]
        ways["HTTP"] = np.array([answer.json()["vector"] for answer in answers])
    for way, vectors in ways.items():
        assert np.abs(vectors - expected).max() < 1e-5, way
    assert np.abs(expected @ expected.T - np.eye(len(names))).max() > 1e-3  # they are different pictures
