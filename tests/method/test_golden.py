"""Agreement with what the authors' own program computes: the loss and every gradient, to 1e-5."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gpu import NEEDS_GPU
from torch import Tensor, nn

from bier import ActivationLoss, AdversarialLoss, EmbeddingEnsemble, OnlineBoosting
from bier.losses import BinomialDeviance

GOLDEN = Path(__file__).parents[2] / os.environ.get("BIER_GOLDEN", "../shared/golden")
TOLERANCE = 1e-5


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=NEEDS_GPU)])
@pytest.mark.parametrize("name", ["simple", "eta", "eta_shrunk", "activation", "adversarial"])
def test_loss_and_all_gradients(name: str, device: str) -> None:
    if not GOLDEN.is_dir():
        pytest.skip(f"no golden files at {GOLDEN}: set BIER_GOLDEN to their folder")
    with np.load(GOLDEN / f"{name}.npz") as file:
        golden = dict(file)
    meta = json.loads(str(golden["meta"]))

    head = EmbeddingEnsemble(golden["features"].shape[1], golden["sizes"].tolist())
    put(head.linear, golden["weight"], golden["bias"])
    head.to(device)
    features = torch.tensor(golden["features"], device=device, requires_grad=True)
    schedule = "convex" if meta.get("eta_style") else "additive"
    boost = OnlineBoosting(BinomialDeviance(), schedule, meta.get("shrinkage"))
    learners = head.learners(features)
    close(torch.cat(learners, dim=1), golden["embedding"])
    loss = boost(learners, torch.tensor(golden["labels"], device=device).long())
    diversity = diversity_of(meta, head, golden)
    if diversity is not None:
        loss = loss + diversity.to(device)(features, head)
    loss.backward()

    close(loss, golden["loss"])
    close(features.grad, golden["grad_features"])
    close(head.linear.weight.grad.T, golden["grad_weight"])  # type: ignore[union-attr]
    close(head.linear.bias.grad, golden["grad_bias"])
    if isinstance(diversity, AdversarialLoss):
        checked = 0
        for key, layer in layers(diversity):
            close(layer.weight.grad.T, golden[f"grad_{key}_weight"])  # type: ignore[union-attr]
            close(layer.bias.grad, golden[f"grad_{key}_bias"])
            checked += 2
        assert checked == sum(key.startswith("grad_regressor") for key in golden)


def diversity_of(meta: dict[str, Any], head: EmbeddingEnsemble, golden: dict[str, Any]) -> nn.Module | None:
    kind = meta.get("regularization")
    if kind == "activation":
        return ActivationLoss(meta["lambda_div"], meta["lambda_weight"])
    if kind == "adversarial":
        loss = AdversarialLoss(head.sizes, meta["hidden"], meta["lambda_div"], meta["lambda_weight"])
        for key, layer in layers(loss):
            put(layer, golden[f"{key}_weight"], golden[f"{key}_bias"])
        return loss
    assert kind is None
    return None


def layers(loss: AdversarialLoss) -> list[tuple[str, nn.Linear]]:
    found = []
    for name, regressor in loss.regressors.items():
        linear = [layer for layer in regressor.modules() if isinstance(layer, nn.Linear)]
        found += [(f"regressor_{name}_layer{number}", layer) for number, layer in enumerate(linear)]
    return found


def put(layer: nn.Linear, weight: Any, bias: Any) -> None:
    """Weights as the program stores them, (in, out)."""
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight).T)
        layer.bias.copy_(torch.tensor(bias))


def close(ours: Tensor | None, theirs: Any) -> None:
    assert ours is not None
    expected = torch.tensor(theirs)
    assert (ours.detach().cpu() - expected).norm() <= TOLERANCE * expected.norm()
