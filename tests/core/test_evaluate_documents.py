"""A folder of documents becomes passages; what cannot be read is counted, and nothing outside is."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetui_core.errors import InputError
from finetui_core.evaluate import documents
from finetui_core.evaluate.document_files import READERS, Unusable, blocks_of
from finetui_core.evaluate.documents import WORDS, Passage, read_documents
from finetui_core.evaluate.retrieval import terms

SAMPLE = Path(__file__).parents[2] / "sample_data" / "documents"


def passages(folder: Path) -> list[Passage]:
    return list(read_documents(folder).passages)


def test_the_sample_documents_are_read_under_their_headings() -> None:
    found = read_documents(SAMPLE)
    assert found.files == 12 and not found.skipped
    returns = next(one for one in found.passages if one.source == "returns.md:3")
    assert returns.title == "Returns" and returns.text.startswith("You can return an item within 45 days.")


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.md",
            "# One\n\nFirst.\n\n## Two\nSecond.\nThird.\n",
            [("First.", 3, "One"), ("Second.\nThird.", 6, "One > Two")],
        ),
        ("a.md", "Intro\n```\n# no heading\n\nx\n```\n", [("Intro\n```\n# no heading\n\nx\n```", 1, "")]),
        (
            "a.rst",
            "Top\n===\n\nText.\n\nSub\n---\n\nMore.\n",
            [("Text.", 4, "Top"), ("More.", 9, "Top > Sub")],
        ),
        (
            "a.html",
            "<html><head><style>p{}</style><script>x()</script>\n"
            "<body><h1>Fees &amp; more</h1>\n<p>Ten <b>euros</b>.<p>Two.",
            [("Ten euros.\n\nTwo.", 3, "Fees & more")],
        ),
        (
            "a.json",
            '[{"q": "When?", "a": {"at": 9, "x": null}}, "Alone."]',
            [("q: When?\na.at: 9\n\nAlone.", 1, "")],
        ),
        (
            "a.csv",
            'city,fee\nRome,"4,20"\n,\nOslo,5\n',
            [("city: Rome\nfee: 4,20\n\ncity: Oslo\nfee: 5", 2, "")],
        ),
    ],
)
def test_each_kind_of_file(
    tmp_path: Path, name: str, content: str, expected: list[tuple[str, int, str]]
) -> None:
    (tmp_path / name).write_text(content)
    assert [(one.text, int(one.source.split(":")[1]), one.title) for one in passages(tmp_path)] == expected


def test_long_texts_are_cut_and_nothing_is_lost(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(3000)]
    sentences = [" ".join(words[at : at + 10]) + "." for at in range(0, 3000, 10)]
    (tmp_path / "long.txt").write_text(" ".join(sentences))
    (tmp_path / "cjk.txt").write_text("我们的商店每天早上九点开门" * 200)
    found = passages(tmp_path)
    assert all(len(terms(one.text)) <= WORDS for one in found)
    assert terms(" ".join(one.text for one in found if "long" in one.source)) == words
    assert "".join(one.text for one in found if "cjk" in one.source) == "我们的商店每天早上九点开门" * 200


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_BYTES", 100)
    folder, outside = tmp_path / "docs", tmp_path / "secret.txt"
    (folder / "sub").mkdir(parents=True)
    outside.write_text("top secret")
    (folder / "a.txt").write_text("Read me.")
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    (folder / "out.txt").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    (folder / "image.png").write_bytes(b"\x89PNG")
    (folder / "fake.md").write_bytes(b"text\0more")
    (folder / "latin.txt").write_bytes(b"\xe9t\xe9")
    (folder / "huge.txt").write_text("x" * 101)
    (folder / "bad.json").write_text("{")
    (folder / "deep.json").write_text("[" * 90)
    (folder / "empty.md").write_text("# Only a heading\n")
    (folder / ".hidden.txt").write_text("no")
    os.mkfifo(folder / "pipe.txt")
    (folder / "sub" / "b.md").write_text("Me too.")
    found = read_documents(folder)
    assert [one.source for one in found.passages] == ["a.txt:1", "inside.txt:1", "sub/b.md:1"]
    assert found.skipped == {
        "a link out of the folder": 1,
        "a link to a folder": 1,
        "of another kind": 1,
        "binary": 1,
        "not UTF-8 text": 1,
        "over 0 MB": 1,
        "not valid json": 2,
        "without text": 1,
        "hidden": 1,
        "not a file": 1,
    }


@pytest.mark.parametrize(
    ("make", "said"),
    [("file", "must be in a folder"), ("none", "no such folder"), ("png", "1 of another kind")],
)
def test_a_folder_without_documents_is_refused(tmp_path: Path, make: str, said: str) -> None:
    folder = tmp_path / "docs"
    if make == "file":
        folder.write_text("x")
    elif make == "png":
        folder.mkdir()
        (folder / "a.png").write_bytes(b"x")
    with pytest.raises(InputError, match=said):
        read_documents(folder)


@given(st.sampled_from(sorted(READERS)), st.text(max_size=200))
def test_any_content_is_blocks_or_a_reason(suffix: str, content: str) -> None:
    try:
        found = list(blocks_of(suffix, content))
    except Unusable as reason:
        assert str(reason).startswith("not valid")
    else:
        assert all(one.text and one.line >= 1 for one in found if one.text.strip())
