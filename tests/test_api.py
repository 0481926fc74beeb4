"""The package as it is imported: names, and nothing that is not needed."""

import subprocess
import sys


def test_the_core_does_not_import_ray_or_torch():
    check = "import sys, flowkit.cli, flowkit.extraction.run; print({'ray', 'torch'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout == "set()\n"
