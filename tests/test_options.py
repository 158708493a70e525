"""Options said once: a record's fields on the command line, in Python and in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
import typer
from annotated_types import Ge, Gt, Interval, Le
from typer.testing import CliRunner

from harness.errors import UsageError
from harness.options import Expand, Option, check_ranges, validated, with_options
from harness.records import Judging, Rules
from harness.runs.selection import RunOptions, ScoreOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    size: Annotated[int, Option("How many."), Interval(ge=1, le=64)] = 8
    share: Annotated[float, Option("How much."), Gt(0), Le(1)] = 1.0
    seed: Annotated[int, Option("The seed.")] = 0

    def __post_init__(self) -> None:
        check_ranges(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    group: ClassVar[str] = "Wholes"

    part: Annotated[Part, Expand()] = Part()
    labels: Annotated[tuple[str, ...], Option("Labels.", flag="--name")] = ()
    place: Annotated[Path | None, Option("Where.")] = None
    word: Annotated[Literal["a", "b"], Option("Which.")] = "a"
    plain: Annotated[bool, Option("Whether.")] = True
    limit: Annotated[int | None, Option("At most."), Ge(1)] = None
    seed: Annotated[int, Option("The seed.")] = 0
    letters: Annotated[tuple[str, ...] | None, Option("Letters.", parse=tuple)] = None
    cores: Annotated[int, Option("Cores.", unset=lambda: 3)] = 1
    rules: Annotated[Mapping[str, Any], Expand(Rules)] = field(default_factory=dict)
    unsaid: str = "x"


def told(*arguments: str) -> tuple[int, Any]:
    app, found = typer.Typer(), []

    @app.command()
    @with_options
    def command(whole: Whole) -> None:
        found.append(whole)

    done = CliRunner().invoke(app, arguments)
    return done.exit_code, found[0] if found else done.output


def test_what_is_not_given_is_the_records_default() -> None:
    assert told() == (0, Whole(cores=3))


def test_what_is_given_fills_the_records() -> None:
    code, whole = told(
        *("--name", "x", "--name", "y", "--place", "p", "--word", "b", "--no-plain", "--limit", "2"),
        *("--seed", "5", "--size", "64", "--letters", "pq", "--cores", "2", "--case", "exact"),
    )
    assert code == 0
    assert whole == Whole(
        part=Part(size=64, seed=5),
        labels=("x", "y"),
        place=Path("p"),
        word="b",
        plain=False,
        limit=2,
        seed=5,
        letters=("p", "q"),
        cores=2,
        rules={"case": "exact"},
    )


@pytest.mark.parametrize(
    "slip", [["--size", "65"], ["--size", "0"], ["--limit", "0"], ["--word", "c"], ["--unsaid", "y"]]
)
def test_a_range_holds_on_the_command_line(slip: list[str]) -> None:
    assert told(*slip)[0] == 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"size": 65}, "--size 65 is out of range; it is at most 64"),
        ({"size": 0}, "--size 0 is out of range; it is at least 1"),
        ({"share": 0}, "--share 0 is out of range; it is more than 0"),
        ({"share": 1.5}, "--share 1.5 is out of range; it is at most 1"),
    ],
)
def test_a_range_holds_in_python(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        Part(**values)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"part": {"sise": 3}}, "f: key 'part.sise' is unknown; did you mean 'part.size'?"),
        ({"wrod": "a"}, "f: key 'wrod' is unknown; did you mean 'word'?"),
        ({"qqqq": "a"}, "f: key 'qqqq' is unknown; remove it, or see f"),
        (
            {"part": {"size": 65}},
            "f: key 'part.size': Input should be less than or equal to 64, not 65; see f",
        ),
        ({"word": "c"}, "f: key 'word': Input should be 'a' or 'b', not 'c'; see f"),
        ("text", "f: Input should be a dictionary or an instance of Whole, not 'text'; see f"),
    ],
)
def test_a_range_and_every_key_hold_in_a_file(values: object, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        validated(Whole, values, where="f", error=UsageError, remedy="see f")
    assert str(caught.value).startswith(said)


def test_the_rules_are_listed_once() -> None:
    """A rule of a verdict is an option, and a key of YAML, because it is a field."""
    for record in (RunOptions, ScoreOptions):
        signature = with_options(_takes(record)).__annotations__
        assert {rule.name for rule in fields(Rules)} < signature.keys()
        assert "cache" in {one.name for one in fields(Judging)} - signature.keys()


def _takes(record: type[Any]) -> Any:
    def command(options: Any) -> None: ...

    command.__annotations__["options"] = record
    return command
