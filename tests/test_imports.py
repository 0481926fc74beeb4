"""The direction of imports, as pyproject.toml states it: an import that runs back up, or a circle, fails here."""

from importlinter.cli import lint_imports


def test_imports_go_one_way(capsys):
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out
