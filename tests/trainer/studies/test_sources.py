"""What a study reads says what it cannot use."""

import pytest

from flowkit.errors import InputError
from tests.motions import motion_samples, write_out
from trainer.cli.app import command


@pytest.mark.parametrize("study", ["tables", "prima-facie", "action-units"])
def test_an_emotion_that_is_none_of_three_is_refused(tmp_path, study):
    """In a table it would be a class of its own, and in the prima-facie study one that is not negative."""
    samples = motion_samples(subjects=4, clips=3, side=16)
    emotions = ["negative", "positive", "surprise"] * 4
    emotions[5] = "others"
    out = write_out(samples, tmp_path / "out", emotion3=emotions, au=["4"] * 12)
    message = r"^toy/02/005: emotion3='others' is none of negative, positive, surprise; leave it empty in the manifest"
    with pytest.raises(InputError, match=message):
        command(["study", study, str(out), "-o", str(tmp_path / "tables")])
    assert not (tmp_path / "tables").exists()
