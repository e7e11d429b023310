"""Settings: defaults, a file, overrides, and what a wrong one gets."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

from bier.errors import ConfigError
from bier.losses import Contrastive, Triplet
from bier.runs import build
from bier.settings.reading import load, save
from bier.settings.schema import Config


def test_overrides_beat_the_file_and_the_file_beats_defaults(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 3\noptimizer: {epochs: 7, learning_rate: 1e-5}\nloss.schedule: convex\n")
    config = load(file, ["optimizer.epochs=9", "loss.options.beta=0.4"])
    assert (config.seed, config.optimizer.epochs, config.optimizer.learning_rate) == (3, 9, 1e-5)
    assert (config.loss.schedule, config.loss.options) == ("convex", {"beta": 0.4})
    assert config.data == Config().data


def test_small_numbers_may_be_written_without_a_point() -> None:
    config = load(None, ["optimizer.learning_rate=1e-4", "loss.options.margin=1e-1", "loss.options.mining=semihard"])
    assert (config.optimizer.learning_rate, config.loss.options) == (1e-4, {"margin": 0.1, "mining": "semihard"})


def test_one_option_joins_those_given_before_it() -> None:
    config = load(None, ["loss.options={alpha: 1, beta: 2}", "loss.options.beta=3"])
    assert config.loss.options == {"alpha": 1, "beta": 3}
    assert load(None, ["loss.options={alpha: 1}"]).replace(loss__options={"beta": 2}).loss.options == {"beta": 2}


def test_a_saved_config_loads_as_itself(tmp_path: Path) -> None:
    config = load(None, ["model.sizes=[96, 160, 256]", "image.size=96", "diversity.loss=none", "loss.options.alpha=3"])
    save(config, tmp_path / "config.yaml")
    assert load(tmp_path / "config.yaml") == config


@pytest.mark.parametrize(
    ("override", "complaint", "remedy"),
    [
        ("optimizer.epoch=3", "unknown setting 'optimizer.epoch'", "'optimizer.epochs'"),
        ("epochs=3", "unknown setting 'epochs'", "'optimizer.epochs'"),
        ("loss.schedule=convx", "loss.schedule: unknown value 'convx'", "'convex'"),
        ("optimizer.epochs=many", "optimizer.epochs: 'many' is not a whole number", "whole number"),
        ("optimizer.epochs=2.5", "optimizer.epochs: 2.5 is not a whole number", "whole number"),
        ("image.flip=3", "image.flip: 3 is not true or false", "true or false"),
        ("data.images_per_class=1", "data.images_per_class: 1 is out of range", "give 2 to 1,000,000 images"),
        ("model.sizes=[96, 1.5]", "model.sizes: ", "[96, 160, 256]"),
        ("loss.options.alpha=[1]", "is not a table of values", "alpha"),
        ("model.sizes=[96, 0]", "model.sizes: 0 is out of range", "give 1 to 1,000,000"),
        ("optimizer.epochs.x=1", "unknown setting 'optimizer.epochs.x'", "'optimizer.epochs'"),
        ("seed.x=1", "unknown setting 'seed.x'", "seed"),
        ("optimizer.learning_rate=1" + "0" * 400, "is not a number", "give a number"),
        ("seed=2020-13-45", "a value that is not YAML", "month"),
        ("seed", "'seed' has no '='", "key=value"),
    ],
)
def test_a_wrong_override_is_named_with_its_remedy(override: str, complaint: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, [override])
    assert complaint in str(caught.value)
    assert remedy in str(caught.value)


def test_the_file_is_checked_even_where_an_override_hides_its_value(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("optimizer: {epochs: soon}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml: optimizer\.epochs: 'soon'"):
        load(file, ["optimizer.epochs=3"])


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a: [", "is not YAML"),
        ("a: 2020-13-45", "is not YAML"),
        ("- 1\n", "holds no table"),
        ("optimiser: {epochs: 3}\n", "unknown setting 'optimiser'"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(content)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load(file)
    assert "mine.yaml" in str(caught.value)


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1  # type: ignore[misc]


def test_importing_the_package_and_its_settings_does_not_load_torch() -> None:
    code = "import bier, bier.settings.reading, bier.settings.printing, bier.cli, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("alpha=high", "'high' is of another kind than 2.0"),
        ("alpha=true", "True is of another kind than 2.0"),
        ("alfa=1", "did you mean 'alpha'"),
    ],
)
def test_a_wrong_option_of_the_loss_is_named(override: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        build.boosting(load(None, [f"loss.options.{override}"]), (8,), 10)


def test_options_of_a_loss_may_be_words_and_flags() -> None:
    triplet = build.boosting(load(None, ["loss.name=triplet", "loss.options.mining=semihard"]), (8,), 10).loss
    assert isinstance(triplet, Triplet)
    assert triplet.mining == "semihard"
    contrastive = build.boosting(load(None, ["loss.name=contrastive", "loss.options.squared=true"]), (8,), 10).loss
    assert isinstance(contrastive, Contrastive)
    assert contrastive.squared is True
