"""What a step frees is taken again by the next, without new pages from the kernel."""

import os
import platform
import subprocess
import sys

import pytest

from finetui_core.train.freed_memory import keep_freed_memory

PAGES_OF_A_SECOND_BLOCK = """
import resource, sys
from finetui_core.train.freed_memory import keep_freed_memory

def block():
    bytearray(128 << 20)

print(keep_freed_memory() if "keep" in sys.argv else False)
block()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def run(*arguments: str) -> tuple[str, int]:
    unset = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    shown = subprocess.run(
        [sys.executable, "-c", PAGES_OF_A_SECOND_BLOCK, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=unset,
    ).stdout
    done, pages = shown.split()
    return done, int(pages)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_a_block_that_was_freed_needs_no_new_pages() -> None:
    done, pages = run("keep")
    _, without = run()
    assert done == "True"
    assert pages < min(16, without)


def test_an_allocator_that_the_user_has_set_is_left_alone() -> None:
    assert not keep_freed_memory({"MALLOC_TRIM_THRESHOLD_": "65536"})
    assert not keep_freed_memory({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"})
