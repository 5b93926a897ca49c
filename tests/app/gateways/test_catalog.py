import re
import shutil
from pathlib import Path

import pytest

from app.domain.errors import Invalid
from app.gateways.catalog import read_catalog


@pytest.fixture
def folder(tmp_path: Path, root: Path) -> Path:
    return Path(shutil.copytree(root / "catalog", tmp_path / "catalog"))


@pytest.mark.parametrize(
    ("file", "old", "new", "says"),
    [
        ("smollm3.toml", 'slug = "smollm3"', 'slug = "smollm3', "line 1"),
        ("smollm3.toml", "thinks = true", "thinks = 3", "smollm3.toml: thinks: Input should be a valid boolean"),
        ("smollm3.toml", 'name = "SmolLM3 3B"', 'name = "SmolLM3 3B"\nsized = 3', "models.0.sized: Extra inputs"),
        ("smollm3.toml", "hidden_size = 2048", "hidden_size = -1", "hidden_size"),
        ("smollm3.toml", 'licence = "apache-2.0"', 'licence = "unheard-of"', "'unheard-of', which licences.toml does not have"),
        ("qwen3.toml", 'slug = "qwen3-0.6b"', 'slug = "smollm3-3b"', "'smollm3-3b' stands there twice"),
        ("chooser.toml", '"smollm3-3b"]', '"smollm4"]', "names 'smollm4', which is no model"),
        ("smollm2.toml", 'same_as = "smollm2-135m"', 'same_as = "smollm9"', "measure the same as 'smollm9'"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_file_and_place(folder: Path, file: str, old: str, new: str, says: str) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(Invalid, match=re.escape(says)) as refused:
        read_catalog(folder)
    assert refused.value.code == "broken_catalog"


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    (folder / "licences.toml").unlink()
    with pytest.raises(Invalid, match=re.escape("licences.toml: it cannot be read: No such file")):
        read_catalog(folder)


def test_a_file_of_other_bytes_is_no_text(folder: Path) -> None:
    (folder / "qwen3.toml").write_bytes(b"slug = '\xff'")
    with pytest.raises(Invalid, match=re.escape("qwen3.toml: 'utf-8' codec")):
        read_catalog(folder)
