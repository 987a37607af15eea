"""Representative datasets, and the linter of the set itself."""

from qedge.datasets.choose import choose
from qedge.datasets.loader import open_dataset
from qedge.datasets.protocol import Dataset, InputInfo, Subset

__all__ = ["Dataset", "InputInfo", "Subset", "choose", "open_dataset"]
