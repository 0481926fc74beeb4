"""What `make` looks at before it sets up: python build_support/preflight.py VENV; any Python 3.6 runs it."""

import shutil
import sys
import sysconfig
from pathlib import Path

GIGABYTES = 8
"""The environment has 7, most of them PyTorch and the CUDA libraries that it brings."""


def trouble(version, venv, free_bytes, headers):
    """Why the environment in the folder `venv` cannot be made, with the remedy; None where it can."""
    if version < (3, 11):
        return f"flowkit needs Python 3.11 or newer, and this is {version[0]}.{version[1]}: make PYTHON=python3.12 ..."
    if not (headers / "Python.h").exists():
        return (
            f"the headers of this Python are not installed (no Python.h in {headers}), which the extension is compiled "
            "with: apt install python3-dev, or what your system calls it"
        )
    if free_bytes < GIGABYTES * 1e9 and not any(venv.glob("lib/python*/site-packages/torch")):
        return (
            f"the environment {venv} takes 7 GB, most of it PyTorch, and {free_bytes / 1e9:.1f} GB are free on its "
            "disk: make room there, or make VENV=/a/folder/with/room ..."
        )
    return None


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    headers_of_python = Path(sysconfig.get_paths()["include"])
    sys.exit(trouble(sys.version_info, folder, shutil.disk_usage(str(folder.parent)).free, headers_of_python))
