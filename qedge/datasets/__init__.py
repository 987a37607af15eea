"""Representative datasets, and the linter of the set itself."""

from qedge.datasets.choose import choose
from qedge.datasets.linter import lint
from qedge.datasets.loader import open_dataset
from qedge.datasets.protocol import Dataset, InputInfo, Subset

__all__ = ["Dataset", "InputInfo", "Subset", "choose", "lint", "open_dataset"]
