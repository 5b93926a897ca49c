"""From a name to a checked folder."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from app.domain.errors import Invalid
from workers.training.base_model import find_base_model


def test_a_folder_is_found_beside_the_spec_and_shown_by_its_name_alone(base: Path) -> None:
    found = find_base_model(f"../{base.parent.name}/{base.name}", beside=base.parent)
    assert (found.folder, found.name, found.commit) == (base.resolve(), "tiny-base", None)


def test_a_given_folder_wins_over_what_the_spec_says(base: Path) -> None:
    assert find_base_model("org/model", beside=base.parent, base_dir=base).name == "org/model"
    assert find_base_model("hone-starter", beside=base.parent, base_dir=base).name == "hone-starter"


def test_a_hub_snapshot_is_known_by_its_commit(base: Path, tmp_path: Path) -> None:
    snapshot = Path(shutil.copytree(base, tmp_path / ("a" * 40)))
    assert find_base_model("org/model", beside=tmp_path, base_dir=snapshot).revision() == "a" * 40


def test_the_revision_changes_with_the_content_and_not_with_the_place(base: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(base, tmp_path / "copy"))
    first = find_base_model("copy", beside=tmp_path).revision()
    assert first == find_base_model(base.name, beside=base.parent).revision()
    (copied / "tokenizer.json").write_text((copied / "tokenizer.json").read_text() + "\n")
    assert find_base_model("copy", beside=tmp_path).revision() != first


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ('{"model_type": "llama", "auto_map": {"AutoModel": "evil.py"}}', "remote_code"),
        ('{"model_type": "llama", "attn_implementation": "someone/kernel"}', "remote_code"),
        ("[]", "unknown_model"),
        ("{", "unknown_model"),
    ],
)
def test_a_folder_with_a_bad_configuration_is_refused(config: str, code: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(Invalid) as refused:
        find_base_model(str(tmp_path), beside=tmp_path)
    assert (refused.value.code, refused.value.param) == (code, "base_model")


def test_a_name_that_is_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no folder 'nowhere'"):
        find_base_model("nowhere", beside=tmp_path)
