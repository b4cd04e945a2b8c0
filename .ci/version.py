"""Check that the version is the same in all places, and is that of a tag: python .ci/version.py [vVERSION]."""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLACES = {
    "CITATION.cff": r"(?m)^version: (.+)$",
    "CHANGELOG.md": r"(?m)^## (\d\S*) - \d{4}-\d\d-\d\d$",  # its first section that has a date
    "SECURITY.md": r"That is (\d[\w.]*\w)",
    "conda/recipe.yaml": r'(?m)^  version: "(.+)"$',
    "cuda13/pyproject.toml": r'(?m)^version = "(.+)"$',
    "cuda13/pyproject.toml, dependencies": r'"fnnfast==(.+?)"',
}


def main(tag: str | None = None) -> int:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    found = {path: re.search(pattern, (ROOT / path.partition(",")[0]).read_text()) for path, pattern in PLACES.items()}
    versions = {path: match and match[1] for path, match in found.items()}
    if tag is not None:
        versions["the tag"] = tag.removeprefix("v")
    wrong = {place: text for place, text in versions.items() if text != version}
    for place, text in wrong.items():
        print(f"{place} has version {text}, pyproject.toml has {version}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
