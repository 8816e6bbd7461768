"""What llama.cpp itself makes of a GGUF file and of prompts: run by a Python that has the package `xllamacpp`.

    PYTHON tests/llama_cpp_reader.py model.gguf < prompts.json > answers.json

A prompt has `messages` (None where its `text` is to be taken), `ids` and `most`, how many tokens are answered. An
answer has the rendered `text`, its `ids`, the `greedy` answer to the prompt's ids, and `top`, the likeliest first
tokens of it as pairs of id and log probability. llama.cpp answers on 127.0.0.1 while this runs.
"""

import json
import sys
from importlib import import_module
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

_OPENER = build_opener(ProxyHandler({}))


def main() -> int:
    llama = import_module("xllamacpp")
    settings = llama.CommonParams()
    settings.model.path = sys.argv[1]
    settings.n_ctx, settings.n_parallel, settings.warmup = 1024, 1, False
    settings.cpuparams.n_threads = 1
    settings.cache_type_k = settings.cache_type_v = llama.ggml_type.GGML_TYPE_F32
    settings.flash_attn_type = llama.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = llama.Server(settings)
    json.dump([answered(server.listening_address, prompt) for prompt in json.load(sys.stdin)], sys.stdout)
    return 0


def answered(url: str, prompt: dict[str, Any]) -> dict[str, Any]:
    messages, text = prompt["messages"], prompt["text"]
    if messages is not None:
        text = asked(f"{url}/apply-template", {"messages": messages})["prompt"]
    reading = {"content": text, "add_special": messages is not None, "parse_special": True}
    sampling = {"n_predict": prompt["most"], "temperature": 0, "n_probs": 5, "return_tokens": True}
    said = asked(f"{url}/completion", {"prompt": prompt["ids"], **sampling, "cache_prompt": False})
    top = said["completion_probabilities"][0]["top_logprobs"]
    return {
        "text": text,
        "ids": asked(f"{url}/tokenize", reading)["tokens"],
        "greedy": said["tokens"],
        "top": [(one["id"], one["logprob"]) for one in top],
    }


def asked(url: str, body: dict[str, Any]) -> Any:
    request = Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with _OPENER.open(request, timeout=60) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())
