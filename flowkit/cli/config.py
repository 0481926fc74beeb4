"""Options from a YAML file, as `--config FILE` takes them."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import typer

from flowkit.errors import InputError


def apply_config(context: typer.Context, path: Path | None) -> Path | None:
    """The callback of an eager option `--config`: what the file says stands where the command line says nothing.

    Raises:
        InputError: if the file cannot be read, has a key that is no option, or a value that is none for its option.
    """
    if path is not None:
        context.default_map = _options(path, context.command.params)
    return path


def goes_before(context: typer.Context, name: str, other: str) -> bool:
    """Whether the command line says `name` and the file `other`, which then stands for nothing beside it."""
    sources = [getattr(context.get_parameter_source(one), "name", None) for one in (name, other)]
    return sources == ["COMMANDLINE", "DEFAULT_MAP"]


def _options(path: Path, parameters: list[Any]) -> dict[str, Any]:
    """The values by the names that the command gives its parameters."""
    known = {_long_name(parameter): parameter for parameter in parameters if parameter.name != "config"}
    values: dict[str, Any] = {}
    said: dict[str, Any] = {}
    for key, value in _mapping(path).items():
        name = str(key).replace("_", "-")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            raise InputError(f"{path}: {key!r} is no option of {_command(parameters)}; the nearest is {near[0]!r}")
        if (twice := said.setdefault(name, key)) != key:
            raise InputError(f"{path}: {twice!r} and {key!r} are one option; leave one out")
        values[known[name].name] = _value(path, name, value, known[name])
    return values


def _long_name(parameter: Any) -> str:
    name: str = max(parameter.opts, key=len)
    return name.lstrip("-")


def _command(parameters: list[Any]) -> str:
    return "extract" if any(parameter.name == "pairs" for parameter in parameters) else "this command"


def _mapping(path: Path) -> dict[Any, Any]:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc, unused-ignore]
        """Refuses a key that stands twice, of which YAML would take the last."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
            if twice := next((key for key in keys if keys.count(key) > 1), None):
                raise InputError(f"{path}: {twice!r} stands twice; leave one out")
            made: dict[Any, Any] = super().construct_mapping(node, deep)
            return made

    try:
        values = yaml.load(path.read_bytes(), Loader)
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(f"{path} is no YAML{line} ({reason}); write it as 'size: 224', an option a line") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise InputError(f"{path} holds a {type(values).__name__}; write it as 'size: 224', an option a line")
    return values


def _value(path: Path, name: str, value: Any, parameter: Any) -> Any:
    """As the command line's parser takes it."""
    if getattr(parameter, "is_flag", False):
        if isinstance(value, bool):
            return value
        raise InputError(f"{path}: {name} is {value!r}; write true or false")
    if parameter.multiple:
        if isinstance(value, dict):
            value = [f"{key}={_text(item)}" for key, item in value.items()]
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return value
        raise InputError(f"{path}: {name} is {value!r}; write a list, or KEY: VALUE below it")
    if value == "":
        raise InputError(f"{path}: {name} is empty (''); leave it out or fill it")
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise InputError(f"{path}: {name} is {value!r}; write one value, in quotes where YAML reads another thing in it")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
