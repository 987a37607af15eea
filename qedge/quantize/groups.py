"""Tensors that share a scale."""

from __future__ import annotations

from qedge.quantize.rules import Rule


class Groups:
    """Tensors that share a scale: a union-find whose roots may have a quantisation fixed by a kernel."""

    def __init__(self) -> None:
        self.parent: dict[int, int] = {}
        self.fixed: dict[int, Rule] = {}
        self.types: dict[int, str] = {}

    def root(self, t: int) -> int:
        while self.parent.setdefault(t, t) != t:
            t = self.parent[t]
        return t

    def tie(self, a: int, b: int) -> None:
        """Let two tensors share a scale, unless their types or fixed scales contradict each other."""
        a, b = self.root(a), self.root(b)
        if a == b or self.types.get(a, "int8") != self.types.get(b, "int8"):
            return
        if a in self.fixed and b in self.fixed and self.fixed[a].fixed != self.fixed[b].fixed:
            return
        rule = self.fixed.get(a) or self.fixed.get(b)
        self.parent[b] = a
        if rule is not None:
            self.fixed[a] = rule

    def tie_free(self, a: int, b: int) -> None:
        """Let two tensors share a scale unless a kernel fixes that of one of them."""
        if (self.root(a) in self.fixed) == (self.root(b) in self.fixed):
            self.tie(a, b)
