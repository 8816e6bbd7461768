"""The process in which chat templates are rendered: `python -m finetui_core.data.template_worker`.

A template is a stranger's program. The sandbox of transformers keeps it from files and from Python, but not from
endless loops and from memory, so it runs here under limits of the operating system. Requests and replies are lines
of JSON; a request that has no template means the one before. It asks for one rendering (`arguments`), or for the text
and the learned spans of a `chat`, which take several.
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


class _TooLong(Exception):
    """A rendering is longer than any conversation should become; it has so many characters."""


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
        except _TooLong as long:
            reply = {"stopped": f"makes {long.args[0]:,} characters of a short one"}
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()


def _reply(library: Any, template: str, request: dict[str, Any], size: int) -> dict[str, Any]:
    from finetui_core.data.template_process import TemplateFault  # which asks this module for its limits

    def render(template: str, **arguments: Any) -> tuple[list[str], list[list[list[int]]]]:
        _limit_time()
        try:
            texts, spans = library(chat_template=template, **arguments)
        except MemoryError:
            raise
        except Exception as error:
            line = getattr(error, "lineno", None)
            raise TemplateFault(str(error) or type(error).__name__, type(error).__name__, line) from error
        if sum(map(len, texts)) > TEXT + TIMES_REQUEST * size:
            raise _TooLong(sum(map(len, texts)))
        return texts, spans

    try:
        if "chat" in request:
            return _learned(request["chat"], template, render)
        texts, spans = render(template, **request["arguments"])
    except TemplateFault as fault:
        return {"error": str(fault), "kind": fault.kind, "line": fault.line}
    return {"texts": texts, "spans": spans}


def _learned(asked: dict[str, Any], template: str, render: Any) -> dict[str, Any]:
    from finetui_core.data.spans import learned_spans
    from finetui_core.data.template import Chat, Unrenderable

    chat = Chat(template, asked["tools"], asked["messages"], asked["variables"], render)
    try:
        text, spans = learned_spans(chat, asked["train_on"])
    except Unrenderable as error:
        return {"error": str(error), "kind": "Unrenderable", "line": None}
    return {"text": text, "spans": spans}


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
