"""The memory of a run, found by running its model without numbers: `python -m finetui_core.train.memory_trace`.

A request in JSON on standard input, an answer in JSON on standard output (see `preflight.trace_words`). Needs neither
weights nor a GPU.
"""

import gc
import os
import resource
import sys
import time

from finetui_core.errors import InputError
from finetui_core.preflight.trace_words import TraceAnswer, TraceRequest, decode_request, encode


def main() -> None:
    gc.disable()  # a short life, and tensors die by their reference counts
    answer_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no part of the answer
    try:
        answer = answered(decode_request(sys.stdin.buffer.read()))
    except InputError as error:
        answer = TraceAnswer(problem=error.problems[0].what)
    answer_to.write(encode(answer))
    answer_to.close()
    os._exit(0)  # taking the libraries down takes a second and frees nothing that anybody needs


def answered(request: TraceRequest) -> TraceAnswer:
    """The peaks of a request. Raises InputError where the model cannot be built or run."""
    # These imports take seconds.
    from finetui_core.train.row_lengths import measured
    from finetui_core.train.traced import longest_documents, trace

    work, rows, note = request.work, None, ""
    if request.rows_of is not None:
        work, rows, note = measured(request.rows_of, work)
    peaks, trace_note = trace(work, rows or longest_documents(work))
    return TraceAnswer(
        peaks=peaks,
        seconds=round(time.process_time(), 3),
        resident=_most_resident(),
        note="; ".join(part for part in (note, trace_note) if part),
        lengths=work.lengths,
    )


def _most_resident() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


if __name__ == "__main__":
    main()
