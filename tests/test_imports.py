"""The direction of imports, as pyproject.toml states it: an import that runs back up, or a circle, fails here."""

import importlib.resources

import pytest
from importlinter.cli import lint_imports


def test_imports_go_one_way(capsys):
    assert lint_imports(no_cache=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize("package", ["flowkit", "trainer"])
def test_packages_say_that_they_are_typed(package):
    assert importlib.resources.files(package).joinpath("py.typed").is_file()
