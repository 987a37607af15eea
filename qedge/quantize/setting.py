"""What a quantisation starts from: the float model after its rewrites, the samples, the recipe that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qedge.datasets.protocol import Dataset
from qedge.errors import UsageError
from qedge.quantize.build import Builder
from qedge.quantize.calibrate import Progress
from qedge.quantize.model import FloatModel
from qedge.quantize.options import QuantizeOptions
from qedge.quantize.pins import RecipeFile, read_recipe, unmatched
from qedge.quantize.recipe import Recipe
from qedge.quantize.rewrites import rewrite
from qedge.quantize.rewrites.final_softmax import leave_softmax
from qedge.quantize.rewrites.input_step import take_steps
from qedge.quantize.rewrites.output_step import leave_output_steps
from qedge.quantize.rewrites.unlike_parts import keep_parts_apart
from qedge.quantize.samples import FEWEST_HELD_OUT, choose, thin, values_of
from qedge.quantize.search import SMALL_MODEL

JUDGED_SAMPLES = 64
JUDGED_VALUES = 30_000_000


@dataclass(frozen=True)
class Setting:
    """What a quantisation starts from, the same each time for the same model, samples and options."""

    model: FloatModel
    dataset: Dataset
    samples: list[int]
    options: QuantizeOptions
    file: RecipeFile
    threads: int
    progress: Progress | None

    @classmethod
    def of(
        cls, float_model: bytes, dataset: Dataset, options: QuantizeOptions, progress: Progress | None
    ) -> Setting:
        """Return the model after its rewrites, and which samples are used."""
        file = read_recipe(options.recipe) if options.recipe is not None else RecipeFile()
        model = FloatModel.from_bytes(float_model)
        samples = choose(len(dataset), options.samples, options.seed)
        model = take_steps(model, dataset, thin(model, samples, options.seed), options.input_steps)
        model = leave_softmax(rewrite(model), dataset, samples)
        model = leave_output_steps(model, dataset, samples)
        model = keep_parts_apart(model, dataset, samples)
        check_pins(model, file)
        # Threads that wait for each other cost more than they do where a layer takes microseconds.
        threads = 1 if values_of(model) <= SMALL_MODEL else options.threads
        return cls(model, dataset, samples, options, file, threads, progress)

    @property
    def pinned(self) -> Recipe | None:
        """The recipe that is asked for, or None where the search chooses."""
        method = self.options.method if self.options.method != "auto" else self.file.method
        return None if method == "auto" else Recipe.parse(method)

    def builder(self, indices: list[int], held: Sequence[int] = ()) -> Builder:
        """Return a builder whose ranges come from these samples."""
        return Builder(
            self.model,
            self.dataset,
            indices,
            held=held,
            io=self.options.io,
            per_channel=self.options.per_channel,
            pins=self.file.pins,
            narrow=self.options.weights == "int4",
            loops=self.options.loops,
            threads=self.threads,
            progress=self.progress,
        )

    @property
    def most_judged(self) -> int:
        """How many samples a judge without candidates to rank runs at most."""
        return min(max(JUDGED_VALUES // values_of(self.model), 2 * FEWEST_HELD_OUT), JUDGED_SAMPLES)

    @property
    def most_advice(self) -> int:
        """How many samples say at most which layers take more than 8 bits."""
        return min(max(4 * JUDGED_VALUES // values_of(self.model), 2 * FEWEST_HELD_OUT), 4 * JUDGED_SAMPLES)


def check_pins(model: FloatModel, file: RecipeFile) -> None:
    """Raise when a pattern of a recipe file matches no operator.

    Raises:
        UsageError: naming the patterns.
    """
    lost = unmatched(model.graph, file.pins)
    if lost:
        raise UsageError(
            f"no operator matches {', '.join(map(repr, lost))} in the recipe",
            hint="qedge inspect --layers lists the names",
        )
