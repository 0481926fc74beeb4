"""The files of a dataset's clips: where each clip lies below the root, and which of its annotated frames have none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flowkit.datasets.contract import FRAMES, Dataset, Row
from flowkit.datasets.folders import Folders, place
from flowkit.errors import FrameError, InputError
from flowkit.frames import is_video
from flowkit.frames.folder import numbered_images

_SHOWN_GAPS = 5
_COUNTED = {"mov", "avi"}
"""Containers of videos whose header counts the frames; an MP4's counts those, too, that an edit list hides."""


def find_files(dataset: Dataset, root: Path, rows: list[Row]) -> Path:
    """Gives each row its folder or video, lists what is not there, and returns the folder in which the layout begins.

    Each folder is listed once. A video is opened once, and none of its frames is read: thousands take a minute.
    """
    if not rows:
        return root
    folders = Folders(root)
    layouts = [[layout.format_map(row.texts) for row in rows] for layout in dataset.folders]
    base, which = place(folders, layouts)
    listed: dict[str, dict[int, str] | str] = {}
    counted: dict[str, int | str | None] = {}
    taken: dict[str, tuple[str, Row]] = {}
    placed: list[tuple[Row, dict[int, str]]] = []
    for row, relative in zip(rows, layouts[which], strict=True):
        found = folders.resolve(base, relative)
        row.folder = str(base / relative)
        if len(found) != 1:
            what = f"{relative} is not below {base}" if not found else f"{relative} may be any of {_names(found)}"
            row.note("filename", what, "the clip is kept and its pairs will fail: bring the folder back", failed=True)
            continue
        row.folder = str(found[0])
        video = is_video(row.folder) and found[0].is_file()
        if not dataset.long_videos:
            _claim(row, relative if video else row.key, "video" if video else "folder", taken)
        if video:
            _check_video(row, counted)
            continue
        names = _images(row, listed)
        if names:
            placed.append((row, names))
    if dataset.locate:
        dataset.locate(placed)
    for row, names in placed:
        _check_frames(dataset, row, names)
    return base


def has_video(row: Row) -> bool:
    """Whether a row's source is a video, there or not."""
    return is_video(row.folder) and not Path(row.folder).is_dir()


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths)


def _claim(row: Row, name: str, kind: str, taken: dict[str, tuple[str, Row]]) -> None:
    """Lists two clips that have one folder or video by two names: s01_ne_01 and s1_ne_01, say.

    Args:
        name: of a folder its clip's key; of a video its path in the layout, by which several clips may mean it.
    """
    first, other = taken.setdefault(row.folder, (name, row))
    if first != name:
        row.note("filename", f"row {other.number} ({other.clip_id}) has the same {kind}", "both are kept", failed=True)


def _images(row: Row, listed: dict[str, dict[int, str] | str]) -> dict[int, str]:
    """The frames of a row's folder; none, and a defect, where it cannot be listed."""
    if row.folder not in listed:
        try:
            listed[row.folder] = numbered_images(Path(row.folder))
        except (FrameError, InputError) as error:
            listed[row.folder] = str(error)
    names = listed[row.folder]
    if isinstance(names, str):
        row.note("filename", names, "the clip is kept and its pairs will fail", failed=True)
        return {}
    return names


def _check_frames(dataset: Dataset, row: Row, names: dict[int, str]) -> None:
    """Lists annotated frames that have no file."""
    lacking = {name: frame for name in FRAMES if (frame := row.frames[name]) is not None and frame not in names}
    for name in lacking:
        _lacks(row, name, f"its frames are {min(names)} to {max(names)}")
    onset, offset = row.frames["onset"], row.frames["offset"]
    if onset is None or offset is None or lacking or dataset.locate:
        return
    # Bounded by the files, as an annotation may reach anywhere.
    inside = [number for number in range(max(onset, min(names)), min(offset, max(names))) if number not in names]
    if inside:
        told = ", ".join(map(str, inside[:_SHOWN_GAPS])) + (" ..." if len(inside) > _SHOWN_GAPS else "")
        row.note("filename", f"{row.folder} lacks frames between onset and offset: {told}", "kept", failed=True)


def _check_video(row: Row, counted: dict[str, int | str | None]) -> None:
    """Lists annotated frames that a video cannot have, as far as its header counts its frames."""
    if row.folder not in counted:
        counted[row.folder] = _frames_counted(row.folder)
    count = counted[row.folder]
    if isinstance(count, str):
        row.note("filename", count, "the clip is kept and its pairs will fail: re-encode the video", failed=True)
    elif count is not None:
        for name in FRAMES:
            if (frame := row.frames[name]) is not None and not 0 <= frame - row.frame_base < count:
                _lacks(row, name, f"it has {count} at most, from {row.frame_base} on", _remedy(row, frame, count))


def _frames_counted(path: str) -> int | str | None:
    """How many frames a video has at most; why it cannot be opened; None where its header, or no PyAV, says."""
    try:
        import av
    except ModuleNotFoundError:
        return None
    try:
        with av.open(path) as container:
            stream = container.streams.best("video")
            if stream is None:
                return f"{path} has no video stream"
            return stream.frames or None if container.format.name.split(",")[0] in _COUNTED else None
    except (av.FFmpegError, OSError) as error:
        return f"{path} cannot be read as a video ({error.strerror})"


def _remedy(row: Row, frame: int, count: int) -> str:
    """What to do about a frame that a video cannot have; one behind its last, the sheet may count otherwise."""
    if frame != row.frame_base + count:
        return "repair the annotation"
    base = row.frame_base + 1
    counts = f"give --frame-base {base}, or a column frame_base, if the sheet counts from {base}"
    return f"repair the annotation, or {counts}"


def _lacks(row: Row, name: str, has: str, remedy: str = "add the file, or repair the annotation") -> None:
    what = f"{row.folder} has no frame {row.frames[name]}, {has}"
    row.note(name, what, f"the number is kept and its pairs will fail: {remedy}", failed=True)
