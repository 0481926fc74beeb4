"""The command verify needs an output."""


def test_verify_needs_an_output(flowkit, tmp_path):
    code, _, stderr = flowkit("verify", tmp_path)
    assert code == 2
    assert "is no output of flowkit extract" in stderr
