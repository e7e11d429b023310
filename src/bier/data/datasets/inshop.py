"""In-Shop Clothes Retrieval: pictures of 7,982 pieces of clothing; queries are searched in a gallery of its own."""

from __future__ import annotations

from pathlib import Path

from bier.data.datasets.annotations import RowFaults, check_published, escapes, read_fields, required
from bier.data.datasets.reader import Reader
from bier.data.manifest import Manifest

PUBLISHED = {"train": (25_882, 3_997), "query": (14_218, 3_985), "gallery": (12_612, 3_985)}
COLUMNS = "image_name item_id evaluation_status"
FILES = ("list_eval_partition.txt", "Eval/list_eval_partition.txt")
HOLDS = "list_eval_partition.txt (or Eval/list_eval_partition.txt) and the folder img/ (or Img/img/)"


def recognises(directory: Path) -> bool:
    """Whether the directory looks like this benchmark."""
    return any((directory / name).is_file() for name in FILES)


def read(directory: Path, strict: bool = True) -> Manifest:
    """The manifest, with the item's id as label and the splits train, query and gallery.

    Args:
        directory: the benchmark's directory.
        strict: refuse counts that are not the published ones.

    Raises:
        DataError: the annotation file is missing or malformed, or the counts differ.
    """
    file = required(directory, FILES, HOLDS)
    rows = _rows(file)
    nested = not (directory / "img").is_dir() and (directory / "Img" / "img").is_dir()
    manifest = Manifest.of(
        directory / "Img" if nested else directory,
        directory.name,
        image=[path for _, (path, _, _) in rows],
        label=[item for _, (_, item, _) in rows],
        split=[status for _, (_, _, status) in rows],
        row=[row for row, _ in rows],
        protocol="query-gallery",
    )
    if strict:
        check_published(manifest, "In-Shop Clothes Retrieval", PUBLISHED)
    return manifest


def _rows(file: Path) -> list[tuple[int, list[str]]]:
    faults = RowFaults(file)
    counts, columns = (read_fields(file, "count", header=0, lines=1), read_fields(file, COLUMNS, header=1, lines=1))
    rows = read_fields(file, COLUMNS, header=2)
    if not columns or columns[0][1] != COLUMNS.split():
        faults.add(2, "the header is missing")
    if not counts or counts[0][1] != [str(len(rows))]:
        faults.add(1, f"the count of rows should be {len(rows)}")
    for row, (path, _, status) in rows:
        if status not in PUBLISHED:
            faults.add(row, f"the status is neither train, query nor gallery: {status!r}")
        elif escapes(path):
            faults.add(row, f"the path leads out of the directory: {path!r}")
    faults.refuse(f"line 1 should be the count of rows, line 2: {COLUMNS}, then one row a line")
    return rows


MEMBERS = {"inshop": Reader(recognises, lambda path, config, faulty: read(path, config.strict))}
