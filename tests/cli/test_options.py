"""Options are typed, and wrong ones are named."""

import pytest

from flowkit.cli.options import chosen_device, parse_set
from flowkit.errors import InputError


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("epsilon=1e-3", {"epsilon": 0.001}),
        ("lambda=1", {"lambda_": 1.0}),
        ("lambda_=1", {"lambda_": 1.0}),
        ("warps= 3", {"warps": 3}),
        ("stretch=True", {"stretch": True}),
        ("border=clamp", {"border": "clamp"}),
    ],
)
def test_set_gives_each_parameter_its_type(text, changes):
    parsed = parse_set([text])
    assert parsed == changes
    assert [type(value) for value in parsed.values()] == [type(value) for value in changes.values()]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("warps=2.5", "the value must be a whole number"),
        ("tau=fast", "the value must be a number"),
        ("stretch=1", "the value must be true or false"),
        ("speed=1", "'speed' is no TV-L1 parameter; known are affine_reference, border"),
    ],
)
def test_set_refuses_by_name(text, sentence):
    with pytest.raises(InputError, match=sentence):
        parse_set([text])


def test_quiet_says_nothing_of_the_device_either(capsys, monkeypatch):
    monkeypatch.setattr("flowkit.motion.devices.gpus", lambda: ([], "there is none"))
    assert chosen_device("auto", False, "local", quiet=True) == "cpu"
    assert capsys.readouterr() == ("", "")
    assert chosen_device("auto", False, "local") == "cpu"
    assert capsys.readouterr() == ("", "flowkit: computing on the CPU: no usable GPU: there is none\n")
