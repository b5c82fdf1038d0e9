"""Engines by name, path or label."""

import json

import pytest

from packflow.errors import InputError
from packflow.evaluate.engines import engine_names


@pytest.mark.parametrize(
    ("word", "label", "engine"),
    [
        ("open-2m", "open-2m", "open-2m"),
        ("random", "random", "random"),
        ("runs/a/step_00000100", "a-step_00000100", "runs/a/step_00000100"),
        ("weights/mine.safetensors", "mine", "weights/mine.safetensors"),
        ("lambda 0.5=runs/b", "lambda-0.5", "runs/b"),
        ("/tmp/x=y/weights.safetensors", "weights", "/tmp/x=y/weights.safetensors"),
    ],
)
def test_labels(word, label, engine):
    (found,) = engine_names([word])
    assert (found.label, found.word) == (label, engine)


@pytest.mark.parametrize(
    ("words", "message"),
    [([], "at least once"), (["a/x", "b/x"], "different labels, got x twice"), (["/"], "label with a letter")],
)
def test_labels_that_cannot_be(words, message):
    with pytest.raises(InputError, match=message):
        engine_names(words)


def test_share_of_energy_of_an_aligned_run(tmp_path):
    checkpoint = tmp_path / "run" / "step_00000010"
    checkpoint.mkdir(parents=True)
    (checkpoint / "progress.json").write_text(json.dumps({"config": {"rewards": {"energy_share": 0.25}}}))
    shares = [name.energy_share for name in engine_names([str(tmp_path / "run"), "open-2m", "random"])]
    assert shares == [0.25, None, None]
