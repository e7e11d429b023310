"""Stand-ins for packages that nobody uses: a search does without, and whoever needs the real ones gets them."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from bier.system.late import waiting
with waiting():
    import timm
    from lance_namespace_urllib3_client.models import ListTablesRequest
    from lance_namespace_urllib3_client.models.json_arrow_schema import JsonArrowSchema
    import lancedb
    model = timm.create_model("test_resnet")
assert not {"torch._dynamo", "wandb", "lance_namespace_urllib3_client"} & set(sys.modules), "imported, or left behind"
import lance_namespace_urllib3_client.models as real
import torch, wandb
assert type(ListTablesRequest(limit=3)) is real.ListTablesRequest
assert isinstance(real.ListTablesRequest(limit=3), ListTablesRequest)
assert JsonArrowSchema.model_fields.keys() == real.JsonArrowSchema.model_fields.keys()
assert torch._dynamo.utils.is_compile_supported is not None
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(2)).tolist() == [2, 2]
from torchvision.ops import roi_align
assert roi_align(torch.ones(1, 1, 8, 8), [torch.tensor([[0.0, 0, 4, 4]])], 2).shape == (1, 1, 2, 2)
"""


@pytest.mark.slow
def test_stand_ins_become_the_real_things_when_they_are_used() -> None:
    pytest.importorskip("lancedb")
    pytest.importorskip("wandb")
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
