"""Options said once: a record's fields carry help and range, and become command-line options or YAML keys.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Judging:
        group: ClassVar[str] = "Judging"
        databases: Annotated[int, Option("Databases an example."), Interval(ge=1, le=64)] = 8

``with_options`` turns the fields of a command's record into typer's options, ``check_ranges`` holds records
made in Python to the same ranges, and ``validated`` reads the same classes from YAML through pydantic.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import annotated_types

from harness.errors import HarnessError, UsageError

_Value = TypeVar("_Value")


class Option(NamedTuple):
    """Marks a field as an option of the command line.

    ``flag`` is its name there if not the field's own, ``group`` the heading in ``--help`` if not the
    record's. ``parse`` makes the value of the text (or texts) given; ``unset`` gives it where none is.
    """

    help: str
    flag: str = ""
    group: str = ""
    metavar: str = ""
    parse: Callable[[Any], Any] | None = None
    unset: Callable[[], Any] | None = None


class Expand(NamedTuple):
    """Marks a field whose own fields are options.

    ``of`` is the record they are those of where the field holds a mapping of what was given alone.
    """

    of: type[Any] | None = None


class _Leaf(NamedTuple):
    """One option: the field, its type, what it is marked with, and the heading it stands under."""

    field: Field[Any]
    kind: Any
    option: Option
    bounds: Mapping[str, float]
    group: str
    free: bool


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of the record that its first parameter is; it is called with the record.

    Fields of one name in several records are one option.
    """
    parameters = list(inspect.signature(command, eval_str=True).parameters.values())
    record, others = parameters[0].annotation, parameters[1:]
    leaves: dict[str, _Leaf] = {}
    for leaf in _leaves(record):
        leaves.pop(leaf.field.name, None)  # it stands where its last record does
        leaves[leaf.field.name] = leaf
    options = [_parameter(leaf) for leaf in leaves.values()]

    def told(**given: Any) -> None:
        values = {name: _value(leaf, given.pop(name)) for name, leaf in leaves.items()}
        command(_record(record, values), **given)

    signature = [*options, *others]
    told.__name__, told.__doc__ = command.__name__, command.__doc__
    told.__annotations__ = {one.name: one.annotation for one in signature}
    setattr(told, "__signature__", inspect.Signature(signature))  # noqa: B010
    return told


def check_ranges(record: Any) -> None:
    """Hold a record's fields to the ranges that stand in it. Raises UsageError naming the option."""
    for field, hint in _hinted(type(record)):
        value = getattr(record, field.name)
        for bound, limit in _bounds(get_args(hint)[1:]).items():
            fine = {"ge": "__ge__", "gt": "__gt__", "le": "__le__", "lt": "__lt__"}[bound]
            if value is not None and not getattr(value, fine)(limit):
                words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}[bound]
                flag = "--" + field.name.replace("_", "-")
                raise UsageError(f"{flag} {value} is out of range", f"it is {words} {limit:g}")


def validated(kind: Any, values: object, *, where: str, error: type[HarnessError], remedy: str) -> Any:
    """The record of type ``kind`` that these values make, with no key too many.

    Raises ``error``, which says ``where``, the key and what is wrong, and names the nearest right key.
    """
    from pydantic import TypeAdapter, ValidationError

    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_python(values, extra="forbid")
    except ValidationError as failure:
        faults = failure.errors(include_url=False)
    too_many = {"extra_forbidden", "unexpected_keyword_argument"}  # of a model, of a dataclass
    unknown = [fault for fault in faults if fault["type"] in too_many]
    fault = (unknown or faults)[0]
    key = ".".join(map(str, fault["loc"]))
    place = f"{where}: key '{key}'" if key else where
    if unknown:
        raise error(f"{place} is unknown", _nearest(key.split("."), adapter.json_schema(), remedy))
    given = fault["input"]
    shown = f", not {given!r}" if isinstance(given, (str, int, float)) and len(str(given)) < 40 else ""
    said = fault["msg"].removeprefix("Value error, ") + ("" if fault["type"] == "value_error" else shown)
    raise error(f"{place}: {said}", f"add '{key}:'" if fault["type"] == "missing" else remedy)


def reason(error: Exception) -> str:
    """The first thing that is wrong, with its place where pydantic found it."""
    faults = getattr(error, "errors", None)
    if faults is None:
        return str(error)
    first = faults(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"


_LIKE = 0.7  # of difflib's likeness, 0 to 1: a letter too few is told, "lr" is no "r"
_MANY = 16  # keys of a record that are listed where none is like the wrong one


def _nearest(place: Sequence[str], schema: Mapping[str, Any], remedy: str) -> str:
    """What to write in place of an unknown key: the key most like it, in its own record before any other."""
    known = [key.split(".") for key in _keys(schema, schema)]
    beside = [key for key in known if key[:-1] == place[:-1]]
    for keys in (beside, known):
        names = {key[-1]: ".".join(key) for key in reversed(keys)}
        if near := difflib.get_close_matches(place[-1], names, 1, _LIKE):
            return f"did you mean '{names[near[0]]}'?"
    known_here = (
        f" (there are {', '.join('.'.join(key) for key in beside)})" if 0 < len(beside) <= _MANY else ""
    )
    return f"remove it, or {remedy}{known_here}"


def _keys(schema: Mapping[str, Any], root: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Every key of a JSON schema, those of an inner record with a dot: the outer ones first."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    properties: Mapping[str, Any] = schema.get("properties", {})
    yield from (above + key for key in properties)
    for key, value in properties.items():
        yield from _keys(value, root, f"{above}{key}.")
    for value in (*schema.get("anyOf", ()), *schema.get("allOf", ())):
        yield from _keys(value, root, above)


def _hinted(record: type[Any]) -> list[tuple[Field[Any], Any]]:
    """The fields of a record that are annotated with more than their type, and that annotation."""
    hints = get_type_hints(record, include_extras=True)
    own_first = sorted(fields(record), key=lambda field: field.name not in record.__annotations__)
    return [(one, hints[one.name]) for one in own_first if get_origin(hints[one.name]) is Annotated]


def _leaves(record: type[Any], *, free: bool = False) -> Iterator[_Leaf]:
    for field, hint in _hinted(record):
        kind, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, Expand):
                yield from _leaves(mark.of or kind, free=mark.of is not None)
            elif isinstance(mark, Option):
                group = mark.group or getattr(record, "group", "Options")
                yield _Leaf(field, kind, mark, _bounds(marks), group, free)


def _bounds(marks: Iterable[Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for mark in marks:
        parts = mark if isinstance(mark, annotated_types.GroupedMetadata) else (mark,)
        for part in parts:
            found |= {
                bound: value
                for bound in ("ge", "gt", "le", "lt")
                if (value := getattr(part, bound, None)) is not None
            }
    return found


def _flag(leaf: _Leaf) -> str:
    name = leaf.field.name.replace("_", "-")
    return leaf.option.flag or (f"--{name}/--no-{name}" if leaf.kind is bool else f"--{name}")


def _parameter(leaf: _Leaf) -> inspect.Parameter:
    """The option as typer wants it: an annotated keyword parameter with a default."""
    import typer

    kind, default = leaf.kind, None if leaf.free or leaf.option.unset else _default(leaf.field)
    if leaf.option.parse:
        kind = list[str] if get_origin(kind) is tuple else str
    if get_origin(kind) is tuple:
        kind = list[get_args(kind)[0]]  # type: ignore[misc]
    if get_origin(kind) is list or leaf.option.parse:
        default = None
    bare = next((arg for arg in get_args(kind) if arg is not NoneType), kind) if default is None else kind
    named = not leaf.bounds and (bare in {str, Path} or get_origin(kind) is list)
    told = typer.Option(
        _flag(leaf),
        help=leaf.option.help,
        min=leaf.bounds.get("ge", leaf.bounds.get("gt")),
        max=leaf.bounds.get("le", leaf.bounds.get("lt")),
        metavar=leaf.option.metavar or (_flag(leaf).strip("-").replace("-", "_").upper() if named else None),
        rich_help_panel=leaf.group,
    )
    hint = kind if default is not None or NoneType in get_args(kind) else kind | None
    return inspect.Parameter(
        leaf.field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, told]
    )


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _value(leaf: _Leaf, given: Any) -> Any:
    """The field's value of what the command line gave."""
    if given is None or given == []:
        if leaf.option.unset:
            return leaf.option.unset()
        return None if leaf.free else _default(leaf.field)
    if leaf.option.parse:
        return leaf.option.parse(given)
    return tuple(given) if isinstance(given, list) else given


def _record(record: type[_Value], values: Mapping[str, Any]) -> _Value:
    given: dict[str, Any] = {}
    for field, hint in _hinted(record):
        kind, *marks = get_args(hint)
        if expand := next((mark for mark in marks if isinstance(mark, Expand)), None):
            if expand.of is None:
                given[field.name] = _record(kind, values)
            else:
                names = [one.name for one in fields(expand.of)]
                given[field.name] = {name: values[name] for name in names if values[name] is not None}
        elif any(isinstance(mark, Option) for mark in marks):
            given[field.name] = values[field.name]
    return record(**given)
