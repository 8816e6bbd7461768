"""The process in which chat templates are rendered: `python -m finetui_core.data.template_worker`.

A template is a stranger's program. The sandbox of transformers keeps it from files and from Python, but not from
endless loops and from memory, so it runs here under limits of the operating system. Requests and replies are lines
of JSON; a request that has no template means the one before.
"""

import json
import resource
import sys
import time
from typing import Any

SECONDS = 2
"""Processor time that one request gets at most; between this and a second less."""
MEMORY = 512 * 2**20
"""Bytes above what the process has when it is ready."""
TEXT, TIMES_REQUEST = 1_000_000, 50
"""Characters that any conversation may become, and how many times the size of its request."""


def main() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit_memory(MEMORY)
    template = ""
    for line in sys.stdin.buffer:
        _limit_time()
        try:
            request: dict[str, Any] = json.loads(line)
            template = request.pop("template", template)
            reply = _reply(render_jinja_template, template, request, len(line))
        except MemoryError:
            reply = {"stopped": f"takes more than {MEMORY >> 20} MiB of memory"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def _reply(render: Any, template: str, request: dict[str, Any], size: int) -> dict[str, Any]:
    try:
        rendered = render(chat_template=template, **request["arguments"])
    except MemoryError:
        raise
    except Exception as error:
        line = getattr(error, "lineno", None)
        return {"error": str(error) or type(error).__name__, "kind": type(error).__name__, "line": line}
    texts, spans = rendered
    if sum(map(len, texts)) > TEXT + TIMES_REQUEST * size:
        return {"stopped": f"makes {sum(map(len, texts)):,} characters of a short one"}
    return {"texts": texts, "spans": spans}


def _limit_time() -> None:
    """The kernel ends the process once it has used so much; what earlier requests used does not count."""
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + SECONDS, resource.RLIM_INFINITY))


def limit_memory(more: int) -> None:
    """Hold this process to so many bytes more than it has now."""
    try:
        with open("/proc/self/statm") as file:  # noqa: PTH123
            used = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # not Linux: other systems do not hold a process to this limit
        return
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
