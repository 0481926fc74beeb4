"""The command `flowkit doctor`: what this machine can do: the build, the processor, GPUs, codecs, packages."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform

from rich.console import Console
from rich.markup import escape
from rich.table import Table

import flowkit._core as _core
from flowkit.cpus import available_cpus
from flowkit.errors import require_shown
from flowkit.motion.devices import gpus

OPTIONAL = {
    "obstore": "object stores: pip install 'flowkit-mer[store]'",
    "ray": "engine `ray`: pip install 'flowkit-mer[ray]'",
    "torch": "the trainer: pip install 'flowkit-mer[train]'",
    "timm": "the trainer: pip install 'flowkit-mer[train]'",
    "cupy": "arrays on the GPU: pip install 'flowkit-mer[gpu]'",
    "skimage": "the demo: pip install 'flowkit-mer[demo]'",
}
REQUIRED = ("numpy", "pyarrow", "opencv-contrib-python-headless", "av", "simplejpeg")


def doctor() -> None:
    """Say what this machine can do: build, SIMD, GPU, codecs, versions."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, value in report():
        table.add_row(f"[bold]{name}[/bold]", escape(value))
    Console().print(table)
    require_shown()


def report() -> list[tuple[str, str]]:
    """(what, what was found) in the order to print; absent parts say what they are for and how to get them."""
    return [
        ("flowkit", f"{_core.version}, Python {platform.python_version()}, {platform.platform()}"),
        ("processor", f"{available_cpus()} CPUs for this process"),
        ("SIMD", f"{_core.simd_level()} in use; this machine runs {', '.join(_core.simd_levels())}"),
        ("CUDA build", _cuda_build()),
        ("GPU", _gpus()),
        ("OpenCV CUDA", _opencv_cuda()),
        *((name, _version(name)) for name in REQUIRED),
        ("video codecs", _video_codecs()),
        *((name, _optional(name, purpose)) for name, purpose in OPTIONAL.items()),
    ]


def _cuda_build() -> str:
    if _core.cuda_build is None:
        return "no: this extension was compiled without nvcc (the CPU solver is complete without it)"
    version, architectures = _core.cuda_build
    return f"yes: nvcc {version} for sm {architectures}"


def _gpus() -> str:
    usable, problem = gpus()
    return "; ".join(map(str, usable)) if usable else f"none usable: {problem}"


def _opencv_cuda() -> str:
    import cv2

    cuda = getattr(cv2, "cuda", None)
    count = cuda.getCudaEnabledDeviceCount() if cuda is not None else 0
    return f"{count} devices" if count else "no: this OpenCV was built without CUDA, or finds no device"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "from another distribution" if distribution.startswith("opencv") else "missing"


def _video_codecs() -> str:
    try:
        import av
    except ImportError:
        return "none: PyAV is missing: pip install av"
    found = [name for name in ("h264", "hevc", "mpeg4", "mjpeg", "vp9", "av1") if name in av.codecs_available]
    return ", ".join(found)


def _optional(module: str, purpose: str) -> str:
    if importlib.util.find_spec(module) is None:
        return f"not installed; for {purpose}"
    names = importlib.metadata.packages_distributions().get(module)
    if names is None:
        return "found, of no known version"
    return ", ".join(sorted({importlib.metadata.version(name) for name in names}))
