"""The package as it is imported: its names are there, and an import loads no more than arrays need."""

import inspect
import subprocess
import sys

import pytest

import flowkit

HEAVY = (
    *("numpy", "pyarrow", "av", "cv2", "torch", "ray", "pandas", "matplotlib", "simplejpeg", "PIL", "typer"),
    "trainer",
)


def loaded_by(code: str) -> set[str]:
    """Those of `HEAVY` that are loaded after the code has run in a fresh process."""
    report = f"import sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("name", flowkit.__all__)
def test_every_public_name_is_there_and_told_by_dir(name):
    assert getattr(flowkit, name) is not None
    assert name in dir(flowkit)


def test_the_names_are_those_of_the_readme():
    assert set(flowkit.__all__) == {
        *("PRESETS", "Clip", "FlowkitError", "ShardSet", "TVL1Params", "__version__"),
        *(
            "average_phase",
            "extract",
            "flow_to_rgb",
            "motion_cube",
            "read",
            "read_manifest",
            "strain_magnitude",
            "strain_tensor",
        ),
        *("tvl1_flow", "verify"),
    }


def test_public_functions_and_classes_have_docstrings_and_types():
    for name in flowkit.__all__:
        value = getattr(flowkit, name)
        if inspect.isfunction(value):
            hints = inspect.get_annotations(value)
            assert {"return", *inspect.signature(value).parameters} <= set(hints), name
        if callable(value):
            assert value.__doc__, name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'flowkit' has no attribute 'optical_flow'"):
        flowkit.optical_flow  # noqa: B018


def test_arrays_in_and_out_need_numpy_alone():
    """And not even that before a command can be stopped: a signal in NumPy's import ends in a traceback."""
    assert loaded_by("import flowkit.cli") == set()
    computing = """
import numpy as np, flowkit
frames = np.random.default_rng(0).integers(0, 255, (2, 24, 32), dtype=np.uint8)
flow = flowkit.tvl1_flow(frames, frames[::-1])
assert flowkit.strain_magnitude(flow).shape == (2, 24, 32)
assert flowkit.motion_cube(frames, frames[::-1]).shape == (2, 3, 24, 32)
"""
    assert loaded_by(computing) == {"numpy"}


def test_what_reads_files_is_loaded_when_asked_for():
    assert loaded_by("import flowkit; flowkit.flow_to_rgb") <= {"numpy", "cv2", "PIL"}
    assert {"pyarrow", "cv2"} <= loaded_by("import flowkit; flowkit.extract")  # and PyAV with the first video


def test_the_core_does_not_import_ray_or_torch():
    assert not {"ray", "torch", "trainer"} & loaded_by("import flowkit.cli, flowkit.extraction.run")
