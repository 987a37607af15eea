"""The arena plan: live buffers never overlap, sharing keeps its distance, and plans are repeatable."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from qedge_mcu.planner import Buffer, Plan, Problem, Sharing, conflicts, lower_bound, plan


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """A chain of operators with skip connections, scratch and sharing."""
    steps = draw(st.integers(1, 7))
    buffers, sharings = [], []
    for i in range(steps + 1):
        last = draw(st.integers(i, steps))
        buffers.append(Buffer(str(i), draw(st.integers(1, 400)), i - 1, last))
    for i in range(steps):
        if draw(st.booleans()):
            buffers.append(Buffer(f"scratch{i}", draw(st.integers(1, 100)), i, i))
        if buffers[i].last == i and draw(st.booleans()):
            sharings.append(Sharing(str(i), str(i + 1), draw(st.integers(-400, 400))))
    return Problem(tuple(buffers), tuple(sharings))


@given(problems())
@settings(max_examples=150, deadline=None)
def test_no_two_live_buffers_overlap(problem: Problem) -> None:
    found = plan(problem, tries=20)
    assert conflicts(found) == []
    assert found.arena_bytes >= max(b.nbytes for b in problem.buffers)
    if not problem.sharings:
        assert found.arena_bytes >= lower_bound(problem)


@given(problems())
@settings(max_examples=20, deadline=None)
def test_the_same_problem_gives_the_same_plan(problem: Problem) -> None:
    assert plan(problem, tries=20) == plan(problem, tries=20)


def test_the_self_check_finds_an_overlap() -> None:
    problem = Problem((Buffer("a", 8, -1, 0), Buffer("b", 8, 0, 1)), (Sharing("a", "b", 4),))
    right = Plan(problem, {"a": 4, "b": 0}, 12)
    assert conflicts(right) == []
    assert conflicts(replace(right, offsets={"a": 0, "b": 0}))
    assert conflicts(replace(right, arena_bytes=8))


def test_an_output_lies_over_its_dying_input() -> None:
    problem = Problem((Buffer("a", 100, -1, 0), Buffer("b", 100, 0, 1)), (Sharing("a", "b", 8),))
    assert plan(problem).arena_bytes == 108
