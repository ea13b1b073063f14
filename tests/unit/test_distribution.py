"""Two processes take files from both ends of the list, and a stack of the session belongs to one of them."""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.distribution import FromBothEnds, place


class Node:
    """A process of xdist, which notes what it is told to run."""

    def __init__(self, name: str) -> None:
        self.gateway, self.shutting_down, self.indices = SimpleNamespace(id=name), False, list[int]()

    def send_runtest_some(self, indices: list[int]) -> None:
        self.indices += indices

    def shutdown(self) -> None:
        self.shutting_down = True


def test_processes_meet_in_the_middle() -> None:
    names = [f"{file}.py::{test}" for file in "abcdef" for test in "xyz"]
    option = SimpleNamespace(loadscopereorder=False, tx=["2*popen"])
    config: Any = SimpleNamespace(option=option, getvalue=lambda name: getattr(option, name))
    schedule = FromBothEnds(config)
    first, second = nodes = Node("gw0"), Node("gw1")
    for node in nodes:
        schedule.add_node(node)
        schedule.add_node_collection(node, names)
    schedule.schedule()
    done = dict.fromkeys(nodes, 0)
    while any(done[node] < len(node.indices) for node in nodes):
        for node in nodes:
            if done[node] < len(node.indices):
                schedule.mark_test_complete(node, node.indices[done[node]])
                done[node] += 1
    files = ["".join(dict.fromkeys(names[index][0] for index in node.indices)) for node in nodes]
    assert files == ["abc", "fed"]
    assert sorted(first.indices + second.indices) == list(range(len(names)))


@pytest.mark.parametrize(
    ("fixtures", "expected"),
    [
        ({"stack", "client"}, 0),
        ({"stack", "lossy_stack"}, 1),
        ({"console_stack"}, 2),
        ({"tmp_path"}, 3),
        ({"infra_stack"}, 4),
        ({"infra_stack", "stack"}, 0),
    ],
)
def test_file_stands_with_those_of_the_same_stack(fixtures: set[str], expected: int) -> None:
    assert place(fixtures) == expected
