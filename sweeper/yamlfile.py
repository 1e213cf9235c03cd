"""YAML as people write it: spaces and specs are read with the same care, and errors told in one line."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from sweeper.errors import InputError

_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)[eE][-+]?[0-9]+")


@cache
def _loader() -> type[Any]:
    """Return YAML 1.1's safe loader, but with each key once, and with ``1e3`` as a number."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            # The base class would keep the last of them: half of a space, gone without a word.
            seen: set[tuple[str, str]] = set()
            for key, _ in node.value:
                if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(problem=f"{key.value!r} twice", problem_mark=key.start_mark)
                seen.add((key.tag, str(key.value)))
            mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
            return mapping

    Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    return Loader


def parse_yaml(text: str) -> Any:
    """Return the value that YAML text holds; raises :class:`yaml.YAMLError` where it holds none."""
    import yaml

    return yaml.load(text, Loader=_loader())


def read_yaml(path: Path) -> Any:
    """Return the value that a YAML file holds.

    Raises
    ------
    ValueError
        The file cannot be read, is not text, is not valid YAML, or has a key twice; the message names the
        file, and the line where there is one.
    """
    import yaml

    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
        reason = " ".join(str(error.problem or error.context).split())
        raise InputError(f"{path}{where}: not valid YAML: {reason}") from None
    except yaml.YAMLError as error:
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 (byte {error.start + 1})") from None
    except RecursionError:
        raise InputError(f"{path}: not valid YAML: nested too deeply") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # a date such as 2020-99-99
        raise InputError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


@cache
def _dumper() -> type[Any]:
    """Return the counterpart of :func:`_loader`: text that would be read as something else is quoted."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def represent_str(self, data: str) -> yaml.ScalarNode:
            # The library writes these line breaks bare, and folds them when it reads them.
            style = '"' if set(data) & set("\x85\u2028\u2029") else None
            return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    Dumper.add_representer(str, Dumper.represent_str)
    Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+.0123456789"))
    return Dumper


def to_yaml(data: Any) -> str:
    """Return plain values as YAML text that reads back the same, mappings in their order."""
    import yaml

    return str(yaml.dump(data, Dumper=_dumper(), sort_keys=False, allow_unicode=True))
