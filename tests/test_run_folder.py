"""A run's folder and journal: what survives a crash, what is refused."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import RunError
from harness.outcomes import Outcome
from harness.records import Completion, Example, Prediction, Sample, Verdict, Witness
from harness.runs import journal
from harness.runs.folder import RunFolder, read_record
from harness.runs.samples import read_samples, write_samples

FACTS = {"benchmark": {"data": "abc"}, "pairs": {"base": {"weights": "1"}}}


def completion(id_: str, text: str = "SELECT 1", sample: int = 0) -> Completion:
    return Completion(id=id_, pair="base", text=text, sample=sample)


def test_a_second_start_with_the_same_facts_goes_on(tmp_path: Path) -> None:
    first = RunFolder.open(tmp_path / "run", FACTS, command="x")
    second = RunFolder.open(tmp_path / "run", json.loads(json.dumps(FACTS)))
    assert (first.time, first.fingerprint) == (second.time, second.fingerprint)


def test_another_run_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    RunFolder.open(tmp_path, FACTS)
    with pytest.raises(RunError, match=r"pairs\.base\.weights: 1 there, 2 here"):
        RunFolder.open(tmp_path, {**FACTS, "pairs": {"base": {"weights": "2"}}})


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(RunError, match="holds no run"):
        RunFolder.open(tmp_path, FACTS)
    assert (tmp_path / "thesis.tex").read_text() == "mine"


def test_an_output_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"):
        RunFolder.open(tmp_path / "file" / "run", FACTS)


def test_two_processes_do_not_write_to_one_folder(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path, FACTS)
    with (
        folder.lock(),
        pytest.raises(RunError, match="another process"),
        RunFolder.open(tmp_path, FACTS).lock(),
    ):
        pass


def test_a_record_that_is_cut_is_one_line_of_error(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text('{"time": ')
    with pytest.raises(RunError, match="not a run's folder"):
        read_record(tmp_path)


def test_the_journal_keeps_what_was_finished_and_drops_a_torn_line(tmp_path: Path) -> None:
    with journal.Journal(tmp_path) as book:
        book.append(completion("1"))
        book.append(completion("2", "SELECT 'é\ud800'"))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "3", "pa')
    assert set(journal.read(tmp_path)) == {("base", "1", 0), ("base", "2", 0)}
    with journal.Journal(tmp_path) as book:
        book.append(completion("3"))
    assert set(journal.read(tmp_path)) == {("base", "1", 0), ("base", "2", 0), ("base", "3", 0)}


def test_the_journals_of_all_ranks_are_read(tmp_path: Path) -> None:
    for rank in range(3):
        with journal.Journal(tmp_path, rank) as book:
            book.append(completion(str(rank)))
    assert len(journal.read(tmp_path)) == 3


@pytest.mark.parametrize(
    "spoiled",
    [
        b"rubbish",
        b"\xff\xfe\x00",
        b"",
        b'{"id": "1"}',
        b"[" * 100_000,
        b'{"id": "1", "pair": "base", "text": ' + b'{"a":' * 50_000,
        b'{"id": "1", "pair": ["base"], "text": "SELECT 1"}',
        b'{"id": "1", "pair": "base", "text": null}',
        b'{"id": "1", "pair": "base", "text": "SELECT 1", "sample": "first"}',
        b'{"id": "1", "pair": "base", "text": "SELECT 1", "finish": "tired"}',
    ],
)
def test_a_spoiled_line_is_named_and_passed_over(tmp_path: Path, spoiled: bytes) -> None:
    with journal.Journal(tmp_path) as book:
        book.append(completion("1"))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(spoiled + b"\n" + path.read_bytes())
    said: list[str] = []
    assert set(journal.read(tmp_path, said.append)) == {("base", "1", 0)}
    assert [line.split(" is no")[0] for line in said] == [f"{path}, line 1,"]
    (tmp_path / journal.STARTS).write_bytes(spoiled + b"\n")
    journal.note_start(tmp_path, {"facts": {}, "cost": {"base": {"examples": 1}}})
    assert journal.starts(tmp_path) == [{"facts": {}, "cost": {"base": {"examples": 1}}}]


@pytest.mark.parametrize(
    "record", ['{"time": 3, "fingerprint": "f", "command": "", "facts": {}}', "[1]", "[" * 100_000, "null"]
)
def test_a_record_of_other_types_is_one_line_of_error(tmp_path: Path, record: str) -> None:
    (tmp_path / "run.json").write_text(record)
    with pytest.raises(RunError, match="is not a run's folder"):
        RunFolder.open(tmp_path, FACTS)


def test_a_dangling_link_is_called_one(tmp_path: Path) -> None:
    link = tmp_path / "run"
    link.symlink_to(tmp_path / "gone")
    for ask in (lambda: RunFolder.open(link, FACTS), lambda: read_record(link)):
        with pytest.raises(RunError, match=r"a link to .*gone, which is not there"):
            ask()
    link.unlink()
    link.mkdir()
    (link / "run.json").symlink_to(tmp_path / "gone")
    with pytest.raises(RunError, match=r"a link to .*gone, which is not there"):
        read_record(link)


VERDICTS = st.builds(
    Verdict,
    id=st.text(max_size=5),
    pair=st.text(max_size=5),
    outcome=st.sampled_from(list(Outcome)),
    exact_match=st.booleans(),
    format_compliance=st.none() | st.booleans(),
    suite_strength=st.none() | st.floats(0, 1),
    cause=st.none() | st.text(max_size=5),
    official=st.dictionaries(st.sampled_from(["wikisql_execution", "bird_ex"]), st.floats(0, 1)),
)


@settings(deadline=None)
@given(st.lists(VERDICTS, max_size=3))
def test_samples_are_read_back_as_written(verdicts: list[Verdict]) -> None:
    witness = Witness(script="CREATE TABLE t (a)", gold_columns=("a",), gold_rows=((1,), (None,), ("x",)))
    example = Example(id="1", question="?", context="c", gold="g", database=Path("d.sqlite"), meta={"a": [1]})
    asked = Prediction(id="1", pair="p", sql="SELECT 1", completion="SELECT 1")
    samples = [replace(Sample.of(example, asked, verdict), witness=witness) for verdict in verdicts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "samples_b_t.jsonl")
        write_samples(path, samples)
        assert list(read_samples(path)) == samples
        rows = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    for row, sample in zip(rows, samples, strict=True):
        assert row["execution_match"] == sample.outcome.right
        assert row["prediction"] == "SELECT 1"
        assert "image" not in row["witness"]
        assert sample.official.items() <= row.items()


def test_what_one_start_decides_the_next_keeps(tmp_path: Path) -> None:
    folder = RunFolder.open(tmp_path / "run", {"a": 1})
    assert folder.decide("way", lambda: "fast") == "fast"
    again = RunFolder.open(tmp_path / "run", {"a": 1})
    assert again.decide("way", lambda: "slow") == "fast"
    assert again.decide("other", lambda: [True, {}]) == [True, {}]


def test_answers_are_counted_for_the_process_that_gave_them(tmp_path: Path) -> None:
    for rank, ids in ((0, ("1", "2")), (2, ("2", "3"))):
        with journal.Journal(tmp_path, rank) as book:
            for id_ in ids:
                book.append(completion(id_))
                book.append(completion(id_, sample=1))
    assert journal.examples_by_process(tmp_path, 2) == {"base": [2, 0, 1]}
    assert journal.examples_by_process(tmp_path / "none", 2) == {}


def test_a_folder_that_may_not_be_written_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RunFolder.open(tmp_path, FACTS)
    monkeypatch.setattr("os.access", lambda *_: False)  # as for a user who is not root
    with pytest.raises(RunError, match="cannot be written; give --output a folder"):
        RunFolder.open(tmp_path, FACTS)


def test_of_two_that_begin_at_once_the_second_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = RunFolder.open(tmp_path / "other", FACTS)
    there = iter([False, True])
    monkeypatch.setattr(Path, "exists", lambda _: next(there, True))
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(()))
    second = RunFolder.open(tmp_path / "other", FACTS)
    assert (first.time, first.fingerprint) == (second.time, second.fingerprint)


def test_long_differences_are_named_and_not_shown(tmp_path: Path) -> None:
    RunFolder.open(tmp_path, {"benchmark": {"data": "a"}, "prompt": "x" * 200, "gone": 1})
    with pytest.raises(RunError, match=r"it differs in the examples: .*, gone: 1 there, None here, prompt\)"):
        RunFolder.open(tmp_path, {"benchmark": {"data": "b"}, "prompt": "y" * 200})
    with pytest.raises(RunError, match=r"it differs in gone: 1 there, None here, prompt\)"):
        RunFolder.open(tmp_path, {"benchmark": {"data": "a"}, "prompt": "y" * 200})
