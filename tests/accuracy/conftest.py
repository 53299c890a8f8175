"""Puts this folder's modules within reach of its tests."""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from short import pytest_collection_modifyitems, pytest_configure  # noqa: E402, F401
