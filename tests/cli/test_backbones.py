"""``bier backbones``, and what ``bier train`` says of a backbone or a size that it cannot take."""

from __future__ import annotations

from pathlib import Path

import pytest

from bier.cli import main


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    code = stopped.value.code
    return (code if isinstance(code, int) else 0), *capsys.readouterr()


def test_a_word_lists_a_family_and_what_was_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["backbones", "dinov2"], capsys)
    assert code == 0
    family, headings, first = out.splitlines()[:3]
    assert family == "dinov2"
    assert headings.split() == ["name", "params", "width", "size", "step", "licence", "weights", "here"]
    assert first.split()[:6] == ["vit_small_patch14_dinov2.lvd142m", "22.1", "384", "224", "14", "apache-2.0"]
    assert "not tried, but known to timm: vit_giant_patch14_dinov2" in out


def test_all_of_them_and_a_word_that_is_in_no_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(["backbones"], capsys)
    assert code == 0
    assert "not tried" not in out
    assert "efficientnet_lite0" in out
    assert "swin_tiny" in out
    code, _, error = run(["backbones", "qqqq"], capsys)
    assert code == 2
    assert "no backbone has 'qqqq' in its name" in error
    assert "not tried, but known" in run(["backbones", "beit"], capsys)[1]


@pytest.mark.parametrize(
    ("setting", "messages"),
    [
        ("model.backbone=dinov2", ("model.backbone: unknown backbone 'dinov2'", "vit_small_patch14_dinov2.lvd142m")),
        ("image.size=100", ("image.size: test_vit takes images whose sides are multiples of 16", "96 or 112")),
        ("model.weights={file}", ("not the weights of test_vit", "model.backbone")),
    ],
)
def test_mistakes_get_one_message_and_leave_nothing(
    setting: str, messages: tuple[str, ...], photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    torch.save({"fc.weight": torch.zeros(2, 2)}, tmp_path / "other.pth")
    chosen = setting.format(file=tmp_path / "other.pth")
    usual = ["--set", "model.backbone=test_vit", "--set", "model.weights=none", "--set", chosen]
    code, _, error = run(["train", str(photographs / "cub100"), *usual, "--out", str(tmp_path / "run")], capsys)
    assert code == 2
    assert error.count("error:") == 1
    for message in messages:
        assert message in error
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("other.pth", "run", ".lock")]
