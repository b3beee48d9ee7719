"""Tables of cases by others: where they are and how a test gets one."""

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "data"


def pytest_addoption(parser):
    parser.addoption("--vectors", metavar="DIR", help="read the tables from DIR instead")


@pytest.fixture
def is_own_data(request):
    """Whether the tables are those that lie here, whose sizes are known."""
    return request.config.getoption("--vectors", default=None) is None


@pytest.fixture
def load(request):
    """A table by its name."""
    folder = Path(request.config.getoption("--vectors", default=None) or HERE)
    return lambda name: json.loads((folder / f"{name}.json").read_text())
