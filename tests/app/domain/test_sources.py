"""Sources besides an upload: what is taken, what is refused in words, and that no key is ever shown."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from app.domain.sources import MAX_NAME, HubSource, S3Source, Source, UrlSource, harmless_name, shown

ANY: TypeAdapter[Source] = TypeAdapter(Source)


@pytest.mark.parametrize(
    ("page", "file"),
    [
        ("https://huggingface.co/datasets/a/b/blob/main/data/x.jsonl", "https://huggingface.co/datasets/a/b/resolve/main/data/x.jsonl"),
        ("https://hf.co/datasets/a/b/blob/v1/x.csv", "https://huggingface.co/datasets/a/b/resolve/v1/x.csv"),
        ("https://github.com/o/r/blob/main/rows/x.csv", "https://raw.githubusercontent.com/o/r/main/rows/x.csv"),
        ("https://gitlab.com/o/sub/r/-/blob/main/x.csv", "https://gitlab.com/o/sub/r/-/raw/main/x.csv"),
        ("https://huggingface.co/datasets/a/b/resolve/main/x.jsonl", "https://huggingface.co/datasets/a/b/resolve/main/x.jsonl"),
        ("https://example.com/github.com/o/r/blob/main/x.csv", "https://example.com/github.com/o/r/blob/main/x.csv"),
        ("  https://example.com/rows.jsonl ", "https://example.com/rows.jsonl"),
        ("http://10.0.0.5/rows.jsonl", "http://10.0.0.5/rows.jsonl"),
        ("https://docs.google.com/spreadsheets/d/1/export?format=csv", "https://docs.google.com/spreadsheets/d/1/export?format=csv"),
        ("https://www.dropbox.com/s/abc/x.csv?dl=1", "https://www.dropbox.com/s/abc/x.csv?dl=1"),
    ],
)
def test_the_address_of_a_page_becomes_that_of_its_file(page: str, file: str) -> None:
    assert UrlSource(url=page).url == file


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rows.jsonl", "whole address, such as https://example.com/rows.jsonl"),
        ("file:///etc/passwd", "whole address"),
        ("ftp://example.com/x", "whole address"),
        ("https://me:word@example.com/x", "without a name"),
        ("https://169.254.169.254/latest", "no machine that a file could come from"),
        ("https://0x7f.1/x", "strange way"),
        ("https://huggingface.co/datasets/a/b", "Take it from the Hub by its name: a/b"),
        ("https://huggingface.co/datasets/a/b/viewer/default/train?row=1", "Take it from the Hub by its name: a/b"),
        ("https://huggingface.co/datasets/a/b/tree/main/data", "Take it from the Hub by its name: a/b"),
        ("https://drive.google.com/file/d/1/view?usp=sharing", "Download it"),
        ("https://docs.google.com/spreadsheets/d/1/edit", "Download it"),
        ("https://www.dropbox.com/s/abc/x.csv?dl=0", "direct link"),
        ("https://www.kaggle.com/datasets/a/b", "signed in"),
        ("https://gist.github.com/me/1", "Press Raw"),
        ("https://me-my.sharepoint.com/:x:/g/1", "Download it"),
    ],
)
def test_what_is_no_file_is_refused_with_what_to_do(url: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        UrlSource(url=url)


@pytest.mark.parametrize("url", ["https://me:hunter2@example.com/", "https://example.com/x?token=hunter2#hunter2"])
def test_a_refusal_repeats_no_password(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        UrlSource(url=url)
    assert "hunter2" not in str(refused.value)


def test_what_is_shown_of_an_address_is_not_its_query() -> None:
    assert UrlSource(url="https://example.com:8443/x.csv?X-Amz-Signature=secret").describe() == "https://example.com:8443/x.csv?…"
    assert shown("https://me:word@example.com/x") == "https://example.com/x"


@pytest.mark.parametrize(
    ("given", "repo"),
    [
        ("databricks/databricks-dolly-15k", "databricks/databricks-dolly-15k"),
        ("squad", "squad"),
        (" https://huggingface.co/datasets/a/b.c_d ", "a/b.c_d"),
        ("https://huggingface.co/datasets/a/b/viewer/x/train", "a/b"),
    ],
)
def test_a_dataset_is_named_by_its_id_or_its_page(given: str, repo: str) -> None:
    assert HubSource(repo=given).repo == repo


@pytest.mark.parametrize(
    "repo", ["", "a/b/c", "../b", "a/..", "a b/c", "a/b?x=1", "https://example.com/datasets/a/b", "a/b--c", "-a/b", "a/é"]
)
def test_other_names_are_refused(repo: str) -> None:
    with pytest.raises(ValidationError, match="organisation/name"):
        HubSource(repo=repo)


@pytest.mark.parametrize("revision", ["../main", "a b", "a?b", "-x", "a" * 201, "a..b"])
def test_a_revision_is_plain(revision: str) -> None:
    with pytest.raises(ValidationError, match="commit, a tag or a branch"):
        HubSource(repo="a/b", revision=revision)


def test_a_dataset_says_what_is_taken_of_it() -> None:
    assert HubSource(repo="a/b").describe() == "a/b on the Hugging Face Hub"
    whole = HubSource(repo="a/b", config="en", split="train", revision="c0ffee" * 6 + "c0de")
    assert whole.describe() == "a/b at c0ffeec0ffee (en, train) on the Hugging Face Hub"


def test_a_place_on_s3_is_a_file_or_a_folder() -> None:
    file, folder = S3Source(url="s3://my-bucket/a/b.jsonl"), S3Source(url="s3://my-bucket/a/")
    assert (file.bucket, file.key, file.is_folder) == ("my-bucket", "a/b.jsonl", False)
    assert (folder.bucket, folder.key, folder.is_folder) == ("my-bucket", "a/", True)


@pytest.mark.parametrize(
    "url", ["s3://", "https://bucket/x", "s3://key:secret@bucket/x", "s3://b/x", "s3://bucket", "s3://bucket/" + "x" * 1025]
)
def test_what_is_no_place_on_s3_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match=r"S3|s3://"):
        S3Source(url=url)


@pytest.mark.parametrize(
    ("url", "store", "within"),
    [
        ("s3://hone/studio/blobs/ab/abc", "s3://hone/studio", True),
        ("s3://hone/", "s3://hone/studio", True),
        ("s3://hone/studio/", "s3://hone/studio/", True),
        ("s3://hone/studio2/x", "s3://hone/studio", False),
        ("s3://other/studio/x", "s3://hone/studio", False),
        ("s3://hone/studio/x", "file:///var/hone", False),
    ],
)
def test_the_studios_own_store_is_no_source(url: str, store: str, within: bool) -> None:  # noqa: FBT001 - a column of the table
    assert S3Source(url=url).is_within(store) is within


def test_a_source_is_known_by_its_kind() -> None:
    assert ANY.validate_python({"kind": "hub", "repo": "a/b"}) == HubSource(repo="a/b")
    assert ANY.validate_python({"kind": "s3", "url": "s3://bucket/x"}) == S3Source(url="s3://bucket/x")
    assert ANY.validate_json('{"kind":"url","url":"https://example.com/x"}') == UrlSource(url="https://example.com/x")
    with pytest.raises(ValidationError):
        ANY.validate_python({"kind": "file", "url": "/etc/passwd"})


@pytest.mark.parametrize(
    ("name", "harmless"),
    [
        ("rows.jsonl", "rows.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\rows.csv", "rows.csv"),
        ("a\0b\n.csv", "ab.csv"),
        ("\u202egpj.csv", "gpj.csv"),
        (".hidden.", "hidden"),
        ("..", "file"),
        ("", "file"),
        ("/", "file"),
        ("données.csv", "données.csv"),
        ('a<b>:"c|?*.csv', "abc.csv"),
    ],
)
def test_a_name_is_made_harmless(name: str, harmless: str) -> None:
    assert harmless_name(name) == harmless


def test_a_long_name_keeps_its_kind() -> None:
    name = harmless_name("x" * 300 + ".jsonl")
    assert (len(name), name[-7:]) == (MAX_NAME, "x.jsonl")
    assert len(harmless_name("x" * 300)) == MAX_NAME
