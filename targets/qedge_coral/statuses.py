"""What ``edgetpu_compiler`` prints: a status an operator, and the texts of its whole-model failures."""

from __future__ import annotations

MAPPED = "Mapped to Edge TPU"
OTHER_SUBGRAPH = "More than one subgraph is not supported"
UNSUPPORTED = "Operation not supported"
DTYPE = "Operation is working on an unsupported data type"
LIMITATION = "Operation is otherwise supported, but not mapped due to some unspecified limitation"
VERSION = "Operation version not supported"
RANK = "Tensor has unsupported rank (up to 3 innermost dimensions mapped)"
NOT_CONSTANT = "Filter, bias, or other param is not constant at compile-time"

ALL = (MAPPED, OTHER_SUBGRAPH, UNSUPPORTED, DTYPE, LIMITATION, VERSION, RANK, NOT_CONSTANT)

HINTS = {
    OTHER_SUBGRAPH: "an operator before it runs on the CPU and cuts the graph: replace that one, or pass"
    " --all-subgraphs to compile every part (each part costs a trip over the bus)",
    UNSUPPORTED: "replace it in the model with operators of the support table in docs/coral_operators.md, or move it to"
    " the end of the model, where the CPU runs it after the Edge TPU",
    DTYPE: "make the model full-integer, input and output too (qedge build does, unless --io float32)",
    LIMITATION: "change its shape or parameters as the reason says",
    VERSION: "convert the model again with qedge, which writes the operator versions that compiler 16 knows",
    RANK: "use batch 1 and at most 3 dimensions above 1",
    NOT_CONSTANT: "make the weights part of the model instead of an input",
}
"""What to do about each status."""

NOT_QUANTIZED = "Model not quantized"
NOT_PARSED = "Model could not be parsed"
DYNAMIC = "Model failed in Tflite interpreter. Please ensure model can be loaded/run in Tflite interpreter."
LARGE_ACTIVATIONS = "Compilation failed due to large activation tensors in model."
INTERNAL = "Internal compiler error. Aborting!"

FAILURE_HINTS = {
    NOT_QUANTIZED: "quantise it first: qedge build MODEL --data PATH -t coral",
    NOT_PARSED: "its operator versions are newer than the TensorFlow Lite of mid-2021 inside compiler 16;"
    " qedge build writes them down where that changes nothing",
    DYNAMIC: "fix every dimension: convert again with static shapes and batch 1",
    LARGE_ACTIVATIONS: "lower the input resolution or the channels of the first layers, or compile with"
    " --search, which gives up operators until the rest fits",
    INTERNAL: "run it again (the failure is not always repeatable), then with --search, then with a smaller"
    " model",
}
"""What to do about each failure of a whole model."""
