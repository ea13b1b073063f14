import xml.etree.ElementTree as ET
from pathlib import Path

from tools.bench.flame import ATTACH_REFUSED, explain_failure
from tools.bench.flame_graph import build_boxes, draw
from tools.bench.profiles import GARBAGE, SOCKETS, CallStack, Frame, read_folded, shares

MAIN = "<module> (/x/src/flashsale_gateway/__main__.py:45)"
LOOP = "Runner.run (/usr/lib/python3.11/asyncio/runners.py:118)"
SVG = "{http://www.w3.org/2000/svg}"


def stack(*frames: str, samples: int) -> str:
    return f"{';'.join((MAIN, *frames))} {samples}\n"


def test_stack_has_the_frames_of_python_and_the_last_c_function() -> None:
    folded = stack("run_forever (loop.c:33192)", "answer (/x/src/flashsale_gateway/protocol.py:7)", "write (/lib/libc.so.6)", samples=3)
    frames = (Frame("<module>", "/x/src/flashsale_gateway/__main__.py", 45), Frame("answer", "/x/src/flashsale_gateway/protocol.py", 7))
    assert read_folded(folded) == {CallStack(frames, Frame("write", "/lib/libc.so.6")): 3}


def test_waiting_does_not_count_as_cpu_time() -> None:
    poll = "_PollLikeSelector.select (/usr/lib/python3.11/selectors.py:415)"
    waits = stack(LOOP, "uv__io_poll (linux.c:1452)", "epoll_pwait (/lib/libc.so.6)", samples=9) + stack(poll, samples=9)
    no_python = "0x7ff3a844524a (/lib/libc.so.6) 1\n"
    assert read_folded(waits + no_python) == {}


def test_time_belongs_to_the_line_that_ran_system_calls_apart() -> None:
    folded = (
        stack("digest (/x/site-packages/uvicorn/protocols/http/httptools_impl.py:3)", "memcpy (/lib/libc.so.6)", samples=2)
        + stack(LOOP, "read (/lib/libc.so.6)", samples=5)
        + stack(LOOP, "gc_collect_main (/lib/libpython3.11.so.1.0)", "visit_decref (/lib/libpython3.11.so.1.0)", samples=1)
        + stack("digest (/usr/lib/python3.11/hmac.py:159)", samples=2)
    )
    assert shares(read_folded(folded)) == {SOCKETS: 0.5, "uvicorn": 0.2, "Python and others": 0.2, GARBAGE: 0.1}


def test_function_is_one_box_with_the_line_that_ran_above_it(tmp_path: Path) -> None:
    source = tmp_path / "code.py"
    source.write_text("first()\nsecond()\n")
    box = build_boxes(
        read_folded(stack(f"work ({source}:1)", samples=1) + stack(f"work ({source}:2)", "write (/lib/libc.so.6)", samples=2))
    )
    (module,) = box.inside.values()
    (work,) = module.inside.values()
    assert (box.samples, work.samples, {line.words: line.samples for line in work.inside.values()}) == (3, 3, {"first()": 1, "second()": 2})
    assert list(work.inside["second()"].inside) == ["write"]


def test_picture_has_no_script_and_no_box_that_is_too_narrow() -> None:
    svg = draw(read_folded(stack("<lambda> (/x/a.py:1)", samples=999) + stack("rare (/x/b.py:1)", samples=1)), "gateway & worker")
    root = ET.fromstring(svg)  # noqa: S314  of our own making
    assert root.find(f"{SVG}script") is None
    titles = [title.text for title in root.iter(f"{SVG}title")]
    assert "<lambda> (/x/a.py): 99.9%" in titles
    assert not [title for title in titles if title and title.startswith("rare")]


def test_missing_right_is_explained_with_a_cure() -> None:
    assert (
        explain_failure("Error: Failed to get process executable name.\n\nCaused by:\n    0: Permission denied (os error 13)\n")
        == ATTACH_REFUSED
    )
    assert explain_failure("Operation not permitted (os error 1)") == ATTACH_REFUSED
    assert explain_failure("Error: No such process\n\nStack backtrace:\n 0: x") == "py-spy failed: Error: No such process"
    assert explain_failure("") == "py-spy failed: it gave no reason"
