"""Signals that come where no exception leads anywhere."""

import os
from pathlib import Path

HOOK = """import os, signal, sys, time, weakref
class Hook:
    def find_spec(self, name, *_):
        if name == {module!r}:
            mine = Hook()
            seen = weakref.ref(mine, lambda _: os.kill(os.getpid(), signal.SIGTERM))
            del mine
            time.sleep(300)
sys.meta_path.insert(0, Hook())
"""
EXEC_HOOK = """import sys
class Hook:
    def find_spec(self, name, *_):
        if name == {module!r}:
            exec('import os, signal, time; os.kill(os.getpid(), signal.SIGTERM); time.sleep(300)')
sys.meta_path.insert(0, Hook())
"""


def sigterm_in_a_callback(folder: Path, module: str) -> dict[str, str]:
    """The environment of a process that gets one in a weak reference's callback when it imports this module.

    Python's own imports have such callbacks. Five minutes pass there, if nothing else happens.
    """
    return _running_first(folder, HOOK.format(module=module))


def sigterm_in_an_exec(folder: Path, module: str) -> dict[str, str]:
    """The environment of a process that gets one within an `exec` when it imports this module, as of a dataclass."""
    return _running_first(folder, EXEC_HOOK.format(module=module))


def sigterm_on_the_way_out(folder: Path) -> dict[str, str]:
    """The environment of a process that gets one when all of its code has run, and Python takes itself apart."""
    at_exit = "import atexit, os, signal\natexit.register(lambda: os.kill(os.getpid(), signal.SIGTERM))\n"
    return _running_first(folder, at_exit)


def _running_first(folder: Path, text: str) -> dict[str, str]:
    (folder / "sitecustomize.py").write_text(text)
    return os.environ | {"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"}
