"""What a new plugin may be called."""

import pytest

from galaxy_chassis.errors import BootError
from galaxy_devkit.scaffold import names
from galaxy_devkit.scaffold.names import LONGEST, PluginNameError, check_name


@pytest.mark.parametrize("name", ["notes", "ab", "geo2", "class", "n" * LONGEST])
def test_good_names(name: str) -> None:
    """Lower-case letters and digits, up to the longest that Postgres stores in the names of constraints."""
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "n",
        "n" * (LONGEST + 1),
        "Notes",
        "2notes",
        "my-notes",
        "my_notes",
        "my notes",
        "nötes",
        "n²",
        "../n",
        "no\n",
    ],
)
def test_bad_names(name: str) -> None:
    """Anything else is refused with what a name looks like."""
    with pytest.raises(PluginNameError, match=r"must be 2 to 24 lower-case letters a-z and digits.*'notes'"):
        check_name(name)


@pytest.mark.parametrize(
    ("name", "holder"),
    [
        ("serve", "the command `backend serve`"),
        ("dev", "the command `backend dev`"),
        ("user", "an installed plugin"),
        ("kernel", "the installed package galaxy_kernel"),
        ("http", "the variable BACKEND_HTTP_"),
        ("smtp", "the variable BACKEND_SMTP_"),
        ("games", "the path /api/v1/user/games"),
        ("users", "the path /api/v1/admin/users"),
    ],
)
def test_names_in_use(name: str, holder: str) -> None:
    """A name that would collide with a command, a plugin, a package, a variable or a path is refused with it."""
    with pytest.raises(PluginNameError, match=f"is in use, by {holder}"):
        check_name(name)


def test_a_refused_set_of_plugins_hinders_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is installed does not even assemble, a new plugin can be written; other collisions are still found."""

    def refused(*_: object) -> None:
        raise BootError("two plugins provide the same")

    monkeypatch.setattr(names, "assemble", refused)
    check_name("notes")
    with pytest.raises(PluginNameError, match="an installed plugin"):
        check_name("user")
