"""Writes docs/settings.md, the table of all settings, from the fields in src/bier/settings/schema.py.

python docs/settings.py
"""

from __future__ import annotations

from pathlib import Path

from bier.settings.entries import Entry, Section, sections
from bier.settings.printing import plain
from bier.settings.schema import Config

PAGE = Path(__file__).with_suffix(".md")
START = """# Settings

<!-- `python docs/settings.py` writes this page. Change src/bier/settings/schema.py instead. -->

Every setting has a default. Give others with `--set`, or in a YAML file with `--config`:

```
bier train photos/ --set optimizer.epochs=20 --set loss.options.alpha=3
bier train photos/ --config mine.yaml
```

`bier settings` prints such a file, with this page's content as comments. A word chooses a section, or part of a name:

```
bier settings optimizer
bier settings rate
```

In YAML, `null` stands for a default that depends on the machine or on other settings.

[Training](training.md#which-settings-matter) tells which settings matter. [Losses](losses.md) lists the losses and
their options.
"""


def text() -> str:
    """The page."""
    return "\n".join([START, *map(_table, sections(Config()))])


def _table(section: Section) -> str:
    rows = ["| setting | meaning | values | default |", "|---|---|---|---|", *map(_row, section.entries)]
    return "\n".join([f"## {section.name or 'run'}", "", section.purpose, "", *rows, ""])


def _row(entry: Entry) -> str:
    default = entry.about.if_none or f"`{plain(entry)}`"
    return f"| `{entry.key}` | {entry.about.meaning} | {_values(entry)} | {default} |"


def _values(entry: Entry) -> str:
    choices = ("true", "false") if entry.hint is bool else entry.choices
    return ", ".join(f"`{choice}`" for choice in choices) or entry.about.range


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
