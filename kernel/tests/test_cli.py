"""The program `backend` as a whole."""

import sys
from types import SimpleNamespace

import pytest

from galaxy_kernel.cli import main


def test_ctrl_c_at_any_time_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the status of an interruption and no traceback, be it in the middle of an import."""

    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "galaxy_kernel.cli.app", SimpleNamespace(main=interrupted))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130

    class Importing:
        def __getattr__(self, name: str) -> None:
            raise KeyboardInterrupt

    monkeypatch.setitem(sys.modules, "galaxy_kernel.cli.app", Importing())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
