"""What a front end changes in a ``.tflite``, on the graph editor."""

from __future__ import annotations

from qedge.errors import ModelError
from qedge.frontends.protocol import Names
from qedge.graph.edit import Editor, text


class Tree(Editor):
    """The main subgraph of a model, alone, to be changed in place and packed once.

    Args:
        data: a ``.tflite`` that the graph reader has accepted.
        origin: for messages.
    """

    def __init__(self, data: bytes, origin: str) -> None:
        super().__init__(Editor.from_bytes(data, origin).model)
        self.origin = origin
        self.model.subgraphs = [self.graph]
        kept = [s for s in self.model.signatureDefs or [] if s.subgraphIndex == 0]
        self.model.signatureDefs = kept or None

    def drop_metadata(self) -> None:
        """Remove what differs between converter runs and says nothing about the arithmetic."""
        self.model.metadata = None
        self.model.metadataBuffer = None
        self.model.description = "qedge"

    def name_ends(self, names: Names | None) -> None:
        """Give the model one signature, and inputs and outputs in their author's order and with their names.

        Without names the file's own signature, else its tensors' names, stay.
        """
        old = next(iter(self.model.signatureDefs or []), None)
        named = []
        authors = {"inputs": names.inputs, "outputs": names.outputs} if names else {}
        for side, indices in (("inputs", list(self.inputs)), ("outputs", list(self.outputs))):
            known = {int(m.tensorIndex): text(m.name) for m in getattr(old, side, None) or []}
            order = authors.get(side)
            if order is not None:
                if len(order) != len(indices):
                    raise ModelError(
                        f"{self.origin}: the converted model has {len(indices)} {side}, expected {len(order)}"
                        f" ({', '.join(order)})",
                        hint="remove inputs and outputs that the model does not use",
                    )
                if side == "inputs":  # the converter may reorder them; the front end numbered their names
                    indices.sort(key=lambda t: known.get(t) or self.name(t))
                    self.inputs = indices
                known = dict(zip(indices, order))
            named.append([(known.get(t) or self.name(t), t) for t in dict.fromkeys(indices)])
        self.sign(*named)

    def input_name(self, index: int) -> str:
        """Return the name of an input by its tensor index: the signature's, else the tensor's."""
        for signature in self.model.signatureDefs or []:
            for entry in signature.inputs or []:
                if int(entry.tensorIndex) == index:
                    return text(entry.name)
        return self.name(index)
