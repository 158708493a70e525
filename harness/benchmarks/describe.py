"""What a benchmark is: size, splits, query forms, source, licence, and whether it is here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from harness.benchmarks import create_context, downloads, spider, surface, wikisql
from harness.benchmarks.load import load_benchmark
from harness.benchmarks.spec import BenchmarkSpec, get_spec
from harness.errors import BenchmarkError
from harness.records import Benchmark


class Size(NamedTuple):
    """One split: questions, tables and columns of a context on average, and questions by query form."""

    questions: int
    tables: float
    columns: float
    forms: Mapping[str, int]


class ListingRow(NamedTuple):
    """A benchmark's row in the listing."""

    name: str
    title: str
    here: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """A benchmark for people: ``facts`` by name, ``splits`` that are here, ``missing`` what to fetch."""

    name: str
    title: str
    facts: Mapping[str, str]
    splits: Mapping[str, Size] = field(default_factory=dict)
    missing: str = ""

    def to_json(self) -> dict[str, Any]:
        """JSON values under the fields' names."""
        return asdict(self) | {"splits": {name: size._asdict() for name, size in self.splits.items()}}

    def to_markdown(self) -> str:
        """One screen."""
        lines = [f"# {self.name}", "", self.title, ""]
        lines += [f"- {name}: {value}" for name, value in self.facts.items() if value]
        if self.missing:
            lines += ["", f"Not here: {self.missing}"]
        if self.splits:
            names = list(self.splits)
            lines += ["", f"| | {' | '.join(names)} |", f"|---|{'---:|' * len(names)}"]
            sizes = list(self.splits.values())
            lines.append(f"| questions | {' | '.join(f'{size.questions:,}' for size in sizes)} |")
            lines.append(f"| tables a context | {' | '.join(f'{size.tables:.1f}' for size in sizes)} |")
            lines.append(f"| columns a context | {' | '.join(f'{size.columns:.1f}' for size in sizes)} |")
            for form in sorted({form for size in sizes for form in size.forms}):
                shares = (f"{size.forms.get(form, 0) / size.questions:.1%}" for size in sizes)
                lines.append(f"| {form} | {' | '.join(shares)} |")
        return "\n".join(lines) + "\n"


def listing_row(spec: BenchmarkSpec) -> ListingRow:
    """Name, title and whether it is here."""
    if downloads.is_here(spec):
        here = "here"
    else:
        here = "fetched from the hub on first use" if spec.source.hub else "to be downloaded"
    return ListingRow(spec.name, spec.title, here)


def describe(name: str, *, data: Path | None = None) -> Description:
    """What there is to know of a benchmark, with the sizes of its splits where it is here.

    Nothing is fetched. BenchmarkError where the name is unknown.
    """
    spec = get_spec(name)
    source = spec.source
    facts = {
        "source": source.hub or source.url or ", ".join(str(path) for path in source.files.values()),
        "revision": f"{source.revision}, {source.file} with SHA-256 {source.sha256}"
        if source.sha256
        else source.revision,
        "licence": source.licence,
        "default split": spec.split,
        "dialect": spec.dialect,
        "metrics": ", ".join(spec.metrics),
        "baselines": ", ".join(spec.baselines),
        "prompt": f"{spec.prompt.system or ''} / {spec.prompt.user}".replace("\n", "\\n"),
        "new tokens": f"at most {spec.generation.max_new_tokens}",
    }
    sizes: dict[str, Size] = {}
    missing = ""
    if data is None and not downloads.is_here(spec):
        missing = downloads.absent(spec).remedy
        missing = f"{missing} (or let it be fetched from the hub on first use)" if source.hub else missing
    else:
        for split in _splits(spec):
            try:
                benchmark = load_benchmark(name, data=data, split=split)
            except BenchmarkError as error:
                missing = f"{error.problem}; {error.remedy}" if split == spec.split else missing
                continue
            sizes[split] = _size(benchmark)
            if split == spec.split:
                facts |= {key: value for key, value in benchmark.about.items() if key in _TOLD and value}
    return Description(
        name=spec.name,
        title=spec.title,
        facts={key: value or "" for key, value in facts.items()},
        splits=sizes,
        missing=missing,
    )


_TOLD = ("revision", "rows", "sample", "folder", "databases", "note")


def _splits(spec: BenchmarkSpec) -> tuple[str, ...]:
    match spec.source.kind:
        case "files":
            return tuple(spec.source.files)
        case "create-context":
            return create_context.SPLITS
        case "wikisql":
            return wikisql.SPLITS
        case "spider" | "bird":
            return tuple(spider.layouts(spec))


def _size(benchmark: Benchmark) -> Size:
    tables = [surface.tables(example.context) for example in benchmark.examples]
    total = len(tables)
    columns = sum(len(table.columns) for own in tables for table in own)
    by_form = Counter(example.kind or surface.form(example.gold) for example in benchmark.examples)
    return Size(total, sum(map(len, tables)) / total, columns / total, dict(sorted(by_form.items())))
