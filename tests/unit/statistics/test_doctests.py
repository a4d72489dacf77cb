import doctest
import importlib
import pkgutil

import pytest

import tidegate.statistics

MODULES = [m.name for m in pkgutil.iter_modules(tidegate.statistics.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_the_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"tidegate.statistics.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
