"""Puts the modules that all tests share within reach of these."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
