"""The files of a new plugin: templates with its name filled in.

**What a crash leaves behind.** The files are written to a folder beside the target, whose name begins with a dot, and
renamed at the end: a process that dies before that leaves no plugin, at most the hidden folder, which may be deleted.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from string import Template

TEMPLATES = Path(__file__).parent / "templates"
_ENDING = ".template"


def render(name: str) -> Mapping[str, str]:
    """Return the text of each file of a new plugin, by its path inside the plugin's folder."""
    words = {"name": name, "Name": name.capitalize(), "NAME": name.upper()}
    return {_target(path, name): Template(path.read_text("utf-8")).substitute(words) for path in _templates()}


def write(name: str, into: Path) -> Path:
    """Write a new plugin to a folder of its name in `into`, and return that folder.

    Raise FileExistsError where something of that name is there already, and another OSError where `into` is not a
    folder, or cannot be written to; then nothing has been written.
    """
    folder = into / name
    if folder.exists() or folder.is_symlink():
        raise FileExistsError(f"{folder} exists already: choose another name, or another folder with --into")
    if not into.is_dir():
        raise NotADirectoryError(f"{into} is not a folder: make it first, or choose another with --into")
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=into) as beside:
        made = Path(beside) / name
        for path, text in render(name).items():
            file = made / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")
        made.rename(folder)
    return folder


def _templates() -> list[Path]:
    return sorted(TEMPLATES.rglob(f"*{_ENDING}"))


def _target(path: Path, name: str) -> str:
    """Return where a template's text goes: the folder `galaxy_plugin` has the name of the plugin's package."""
    inside = path.relative_to(TEMPLATES).as_posix().removesuffix(_ENDING)
    return inside.replace("galaxy_plugin/", f"galaxy_{name}/", 1)
