"""The arena plan: live buffers never overlap, sharing keeps its distance, and plans are repeatable."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from qedge_mcu.planner import Buffer, Plan, Problem, Sharing, conflicts, lower_bound, plan, without
from qedge_mcu.schedule import Task, best_order


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
            exact = draw(st.booleans())
            lead = 0 if exact else draw(st.integers(-400, 400))
            sharings.append(Sharing(str(i), str(i + 1), lead, exact))
    return Problem(tuple(buffers), tuple(sharings))


@given(problems())
@settings(max_examples=150, deadline=None)
def test_no_two_live_buffers_overlap(problem: Problem) -> None:
    found = plan(problem, tries=20)
    assert conflicts(found) == []
    assert found.arena_bytes >= max(b.nbytes for b in problem.buffers)
    if not problem.sharings:
        assert found.arena_bytes >= lower_bound(problem)


@given(problems(), st.sets(st.sampled_from(["0", "1", "3"])), st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_a_plan_without_some_buffers_holds_and_is_no_larger(
    problem: Problem, gone: set[str], tries: int
) -> None:
    found = plan(problem, tries=20)
    rest = without(found, frozenset(gone), tries=tries)
    assert conflicts(rest) == []
    assert rest.arena_bytes <= found.arena_bytes
    assert set(rest.offsets) == set(found.offsets) - gone
    if tries == 0:
        assert all(found.offsets[name] == offset for name, offset in rest.offsets.items())


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


def test_an_output_in_place_lies_exactly_on_its_input() -> None:
    problem = Problem((Buffer("a", 100, -1, 0), Buffer("b", 60, 0, 1)), (Sharing("a", "b", 0, exact=True),))
    found = plan(problem)
    assert found.arena_bytes == 100
    assert found.offsets["a"] == found.offsets["b"]
    beside = Plan(problem, {"a": 4, "b": 0}, 104)
    assert conflicts(beside)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Task], dict[str, int]]:
    """Operators that read any earlier tensors, several of one operator too; tensor 0 is the input."""
    count = draw(st.integers(1, 9))
    names, tasks = ["0"], []
    for i in range(count):
        reads = draw(st.sets(st.sampled_from(names), min_size=1, max_size=3))
        leads = {r: 0 for r in reads if draw(st.booleans())}
        after = frozenset({i - 1}) if i and draw(st.booleans()) else frozenset[int]()
        writes = tuple(f"{i + 1}{part}" for part in ("", "b", "c")[: draw(st.integers(1, 3))])
        names += writes
        tasks.append(Task(frozenset(reads), writes, after, draw(st.integers(0, 50)), leads))
    sizes = {name: draw(st.integers(1, 300)) for name in names}
    return tasks, sizes


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_every_order_is_valid(graph: tuple[list[Task], dict[str, int]]) -> None:
    tasks, sizes = graph
    order = best_order(tasks, sizes, frozenset({"0"}), frozenset({str(len(tasks))}))
    assert sorted(order) == list(range(len(tasks)))
    there = {"0"}
    for position, i in enumerate(order):
        assert tasks[i].reads <= there
        assert tasks[i].after <= set(order[:position])
        there |= set(tasks[i].writes)


def test_branches_run_one_after_the_other() -> None:
    """Two wide branches that end narrow, written side by side: one at a time needs half the memory."""
    sizes = {"x": 10, "a": 1000, "b": 1000, "a2": 10, "b2": 10, "y": 10}
    none: frozenset[int] = frozenset()
    tasks = [
        Task(frozenset({"x"}), ("a",), none, 0, {}),
        Task(frozenset({"x"}), ("b",), none, 0, {}),
        Task(frozenset({"a"}), ("a2",), none, 0, {}),
        Task(frozenset({"b"}), ("b2",), none, 0, {}),
        Task(frozenset({"a2", "b2"}), ("y",), none, 0, {}),
    ]
    assert best_order(tasks, sizes, frozenset({"x"}), frozenset({"y"})) == [0, 2, 1, 3, 4]
