"""Base models by name: the bundled one, folders, Hub ids; what hangs, hides or leads outside is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from app.domain.errors import Invalid
from app.gateways import model_folders
from app.gateways.model_folders import ModelFolders, count_parameters


def make_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({"a": np.zeros((3, 4), np.float32), "b": np.zeros(5, np.float16)}, folder / "model.safetensors")
    return folder


@pytest.fixture
def folders(tmp_path: Path) -> ModelFolders:
    make_folder(tmp_path / "known" / "good")
    return ModelFolders(make_folder(tmp_path / "bundled"), [tmp_path / "known"], only_under=False)


def test_sizes_are_read_from_headers(folders: ModelFolders, tmp_path: Path) -> None:
    assert folders.find("hone-starter").parameters == 17
    assert [base.name for base in folders.listed()] == ["hone-starter", str(tmp_path / "known" / "good")]


def test_a_folder_is_read_once_and_again_when_it_has_changed(
    folders: ModelFolders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "known" / "good"
    reads: list[Path] = []

    def counted(path: Path) -> int:
        reads.append(path.parent)
        return count_parameters(path)

    monkeypatch.setattr(model_folders, "count_parameters", counted)
    assert [folders.find(str(folder)).parameters for _ in range(3)] == [17, 17, 17]
    save_file({"a": np.zeros((3, 5), np.float32), "b": np.zeros(5, np.float16)}, folder / "model.safetensors")
    assert folders.find(str(folder)).parameters == 20
    assert reads == [folder, folder]
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "auto_map": {"AutoModel": "code.Model"}}))
    with pytest.raises(Invalid, match="run code of its own"):
        folders.find(str(folder))


def test_a_hub_id_is_not_here_yet(folders: ModelFolders) -> None:
    base = folders.find("org/some-model_1.5")
    assert (base.folder, base.parameters, base.has_template) == (None, None, None)


@pytest.mark.parametrize("name", ["nothing", "../up", "a/b/c", "http://x/y", "/no/such/folder", "\0", "~"])
def test_what_is_no_model_is_said_so(folders: ModelFolders, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        folders.find(name)
    assert refused.value.code == "unknown_model"


def test_beyond_loopback_only_known_folders_are_read(tmp_path: Path) -> None:
    elsewhere, known = make_folder(tmp_path / "elsewhere"), make_folder(tmp_path / "known" / "good")
    (tmp_path / "known" / "link").symlink_to(elsewhere)
    folders = ModelFolders(make_folder(tmp_path / "bundled"), [tmp_path / "known"], only_under=True)
    assert folders.find(str(known)).parameters == 17
    for outside in (elsewhere, tmp_path / "known" / "link", tmp_path / "known" / ".." / "elsewhere"):
        with pytest.raises(Invalid):
            folders.find(str(outside))


def test_a_pipe_does_not_hang_and_garbage_is_no_weights(folders: ModelFolders, tmp_path: Path) -> None:
    odd = tmp_path / "odd"
    odd.mkdir()
    os.mkfifo(odd / "config.json")
    (odd / "model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(Invalid):
        folders.find(str(odd))
    (odd / "config.json").unlink()
    (odd / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(Invalid) as refused:
        folders.find(str(odd))
    assert refused.value.code == "unsafe_format"


def with_header(folder: Path, header: bytes) -> Path:
    """Make a model folder whose weights begin with this header."""
    make_folder(folder)
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


HEADERS = {
    "a list": b"[]", "a number": b"7", "no shape": b'{"a": {"dtype": "F32"}}', "a tensor that is none": b'{"a": 3}',
    "a shape in words": b'{"a": {"shape": ["x"]}}', "a shape that is none": b'{"a": {"shape": 3}}',
    "a negative edge": b'{"a": {"shape": [-4]}}',
    "nested too deep": b"[" * 100_000, "a shape without end": b'{"a": {"shape": [' + b"9" * 4000 + b"]}}",
    "no header": b"", "not UTF-8": b"\xff\xfe\xfa",
}  # fmt: skip


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
def test_a_header_that_makes_no_sense_is_said_so_and_spoils_no_list(folders: ModelFolders, tmp_path: Path, header: bytes) -> None:
    bad = with_header(tmp_path / "known" / "bad", header)
    with pytest.raises(Invalid) as refused:
        folders.find(str(bad))
    assert refused.value.code == "unsafe_format"
    assert [base.name for base in folders.listed()] == ["hone-starter", str(tmp_path / "known" / "good")]


def test_pipes_and_links_into_nothing_beside_weights_are_passed_over(folders: ModelFolders, tmp_path: Path) -> None:
    folder = tmp_path / "known" / "good"
    os.mkfifo(folder / "more.safetensors")
    os.mkfifo(folder / "tokenizer_config.json")
    (folder / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    assert folders.find(str(folder)).parameters == 17
    assert len(folders.listed()) == 2


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize(("template", "is_there"), [("{{ x }}", True), (None, False), ("", False)])
def test_a_chat_template_is_found_however_the_file_is_spelt(
    folders: ModelFolders, tmp_path: Path, template: str | None, encoding: str, *, is_there: bool
) -> None:
    config = tmp_path / "known" / "good" / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": template, "note": "\u00fc"}, ensure_ascii=False), encoding=encoding)
    assert folders.find(str(config.parent)).has_template is is_there


@pytest.mark.parametrize("config", [b"[" * 100_000, b'{"chat_template": "\xff"}', "{}\ud800".encode("utf-16", "surrogatepass")])
def test_a_tokenizer_that_cannot_be_read_spoils_no_list(folders: ModelFolders, tmp_path: Path, config: bytes) -> None:
    (tmp_path / "known" / "good" / "tokenizer_config.json").write_bytes(config)
    with pytest.raises(Invalid):
        folders.find(str(tmp_path / "known" / "good"))
    assert [base.name for base in folders.listed()] == ["hone-starter"]


def test_a_damaged_bundled_model_spoils_no_list(folders: ModelFolders, tmp_path: Path) -> None:
    (tmp_path / "bundled" / "model.safetensors").write_bytes(b"x")
    assert [base.name for base in folders.listed()] == [str(tmp_path / "known" / "good")]


@pytest.mark.parametrize("name", ["o" * 97 + "/n", "o/" + "n" * 97, "örg/name", "org/näme"])
def test_hub_ids_are_short_and_plain(folders: ModelFolders, name: str) -> None:
    assert folders.find("o" * 96 + "/" + "n" * 96).folder is None
    with pytest.raises(Invalid):
        folders.find(name)
