"""What docs/tutorial.md says, command by command; tutorial.py runs them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Step:
    """`says` stands before the command and `then` after it; `title` begins a section.

    The command must end with `code` and print what `sees` has as regular expressions. Of its lines those that fit one
    of `shows` are on the page, or all. A question is piped in by "echo '…' | command".
    """

    command: str
    title: str = ""
    says: str = ""
    then: str = ""
    code: int = 0
    sees: Sequence[str] = ()
    shows: Sequence[str] = ()


def picture(says: str, name: str) -> str:
    return f"[![{says}](pictures/{name}.svg)](pictures/{name}.svg)"


INTRODUCTION = """\
# From a heap of chats to a model that ships, in ten minutes

A shop wants its support desk answered in its house style. It has 1,337 chats from three systems, with all the faults
that such files have, and a very small model. No GPU is needed, nothing is downloaded. Most commands below take
seconds; training and comparing take a minute or two each on two processor cores.

This page is made by `make tutorial`, which runs the commands and fails where one of them does something else. "…"
stands for lines that are left out; folders, times, memory and the run's id are stand-ins.

In a clone of this repository, `make demo` once installs everything and shows that it works. Then:

```console
$ . .venv/bin/activate
$ mkdir tutorial
$ cd tutorial
```"""

STEPS = (
    Step("cp -r ../sample_data/tiny-llama ../sample_data/answers.toml ."),
    Step("cp ../sample_data/support_chat_messy.jsonl messy.jsonl"),
    Step("cp ../sample_data/support_chat_val.jsonl held_out.jsonl"),
    Step(
        "ftui decide answers.toml --data messy.jsonl --val held_out.jsonl",
        title="1. Decide: is fine-tuning the answer at all?",
        says="""\
Without a file, `ftui decide` asks up to a dozen questions; here they are answered already. Whoever lacks facts and
not behaviour is sent to retrieval instead, and whoever has not tried a prompt back to it.""",
        then="More: [decide.md](decide.md).",
        sees=("^Fine-tuning: ", "ftui data check messy.jsonl"),
    ),
    Step(
        "ftui data check messy.jsonl --val held_out.jsonl",
        title="2. Data: what is wrong with the rows, and mend it",
        says="Each kind of fault comes with what it costs if it stays, and with lines to look at.",
        code=3,
        sees=("✗ error: escape and control", "What can be mended, shows: ftui data fix"),
        shows=(
            r"^messy.jsonl:|^held_out",
            r"^✗ error: (?:system turns|validation rows that)",
            r"^✗ error: (?:secret|escape)",
            r"^Mend before",
        ),
        then=picture("The station Data: findings with their counts", "tutorial-data"),
    ),
    Step(
        "ftui data fix messy.jsonl --val held_out.jsonl --mask --drop tool_mismatch -o chats.jsonl",
        says="""\
What is safe is mended into a new file. `--mask` writes placeholders over secrets, `--val` takes out rows that would
give the examination away, and the four broken tool calls, which no rule can mend, are dropped by name.""",
        sees=("Of 1,337 rows", "Next: ftui data check chats.jsonl"),
    ),
    Step(
        "ftui data check chats.jsonl --val held_out.jsonl",
        sees=("No errors in", "Next: ftui recipe new"),
        shows=(r"^chats.jsonl:", r"^No errors", r"^Next"),
        then="More: [data.md](data.md).",
    ),
    Step(
        "ftui recipe new desk.toml --model ./tiny-llama --train chats.jsonl --val held_out.jsonl",
        title="3. Recipe: one file that says what the run is",
        sees=("Next: ftui recipe check",),
    ),
    Step("ftui recipe check desk.toml", sees=("no fault",)),
    Step(
        "ftui data check --recipe desk.toml",
        says="Read as this model will read them, four rows are too long for it:",
        code=3,
        sees=("over 512 tokens", "rows can be trained on"),
        shows=(r"^✗", "^    Here: over 512", "^Under the recipe"),
    ),
    Step(
        "ftui recipe set desk.toml data.overlength=drop train.learning_rate=2e-3",
        says="They may go; and a model this tiny learns faster than the default of 1e-3. The file's comments stay.",
        sees=("data.overlength",),
    ),
    Step(
        "ftui preflight desk.toml",
        says="Does it fit, how long, how much?",
        sees=("^Fits: ", "Next: ftui train desk.toml"),
        shows=(
            r"^(?:Fits|\d+\.\d GiB free)",
            r"^(?:at the peak|weights|adapter|optimizer|activations|logits|in all|Tensors)",
            r"^cost",
            r"^Next",
        ),
        then="More: [recipe.md](recipe.md), [preflight.md](preflight.md).",
    ),
    Step(
        "ftui train desk.toml --name support-desk",
        title="4. Train: in a process that survives",
        says="""\
Close the terminal, and it goes on; kill it, and `ftui resume` continues bit for bit. `ftui` shows
[the dashboard](pictures/dashboard.svg) meanwhile.""",
        sees=("finished", "validation loss 6.*→ 0", "Next: ftui compare"),
        shows=(
            r"^(?:data check|ready|adapters on|train.learning_rate|4 rows)",
            r"validation loss",
            r"^(?:act|Lower|checkpoint|Next|      ftui)",
            "finished",
        ),
        then="""\
The meters say what the loss does not: a model this small, taught one task, forgets others. What that means and what
to do is in [meters.md](meters.md). More: [train.md](train.md).""",
    ),
    Step(
        "ftui compare latest --arms zero_shot,few_shot,tuned --max-rows 40",
        title="5. Compare: is it better, and how sure?",
        says="""\
On rows that nothing was trained on, against the untrained model with and without worked examples in the prompt, with
intervals. Forty of the 240 rows are enough for a gain as large as this one.""",
        sees=(r"Take the tuned model", "Next: ftui chat"),
        shows=(
            r"^(?:40 rows|zero_shot:|few_shot:|tuned:) (?!.*of 40)",
            r"^Take|^  A gain",
            r"ROUGE-L +gain|^(?:→ )?(?:zero_shot|few_shot|tuned) +\d.*\) .*\S",
            r"^(?:Next|      ftui)",
        ),
        then=f"""\
{picture("The verdict in the station Compare", "tutorial-compare")}

More: [compare-station.md](compare-station.md), [compare.md](compare.md).""",
    ),
    Step(
        "echo 'I am Anna. My kettle has not arrived. The order number is 4821. What now?' | ftui chat latest",
        says="And in words: both sides get the same question. On a terminal this is a screen.",
        sees=("^base:", "^tuned:", "Label: ", "Next: ftui export"),
        shows=(r"^(?!loading|A line|.*likeliest token)",),
        then="More: [chat.md](chat.md).",
    ),
    Step(
        "ftui export latest --to ollama --name support-desk --out support-desk",
        title="6. Ship: know that what you ship is what you trained",
        says="""\
The folder is loaded afresh by plain libraries and asked the same as the run: rendered text, token ids, logits,
answers. `--to` also takes `merged`, `adapter`, `vllm`, `gguf` and `hub`.""",
        sees=("What ships behaves as what was trained", "ollama create support-desk"),
        shows=(r"^(?!\d|reading|writing)",),
        then="More: [export.md](export.md).",
    ),
    Step("ls support-desk", sees=("Modelfile", "model.safetensors", "README.md")),
)

END = """\
`README.md` there is the model card: data with fingerprints, recipe, what was measured, what was forgotten, licences.

## What to do next

- The same with your own rows: `ftui data check YOURS.jsonl` (messages, ShareGPT, Alpaca, prompt/completion or text),
  and `ftui recipe new my.toml --model OWNER/NAME --train YOURS.jsonl`.
- The same without a command: `ftui`, and the number keys from station to station; `?` shows what each key does.
- Where it answers wrongly: correct the answer in `ftui chat`, which keeps it as a row for the next round.
  `ftui data value desk.toml` says whether more rows would help.
- All commands: [commands.md](commands.md)."""

PICTURES: Mapping[str, Sequence[str]] = {
    "tutorial-data": ("3",),
    "tutorial-compare": ("6", "enter"),
}
"""The screens of the page, each with the keys that lead there from the start."""
