"""Every rule of the data check: what it finds, how grave that is, what it costs, and what mends it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""Gravest first. An error keeps a run from starting; a warning is worth a look; info is a fact."""


@dataclass(frozen=True, slots=True)
class Rule:
    """`explains` says what was found, `costs` what happens if it stays, `fix` the name of the mend that is safe
    (see `finetui_core.data.mend`), "" where a person must decide."""

    name: str
    severity: Severity
    title: str
    explains: str
    costs: str
    fix: str = ""


_RULES = (
    # The file and the shape of its rows.
    Rule(
        "unreadable_row",
        "error",
        "rows that are not JSON",
        "The line is not one whole JSON object in UTF-8.",
        "The row cannot be trained on, and most loaders drop it, or the whole file, without naming it.",
        "drop",
    ),
    Rule(
        "bad_shape",
        "error",
        "rows that do not fit the layout",
        "A key is missing, a value has the wrong type, or a role is unknown.",
        "The row cannot be trained on.",
        "drop",
    ),
    Rule(
        "no_answer",
        "error",
        "rows without an answer",
        "No assistant turn: there is nothing to learn.",
        "The row costs time and teaches nothing.",
        "drop",
    ),
    Rule(
        "empty_answer",
        "error",
        "empty answers",
        "An assistant turn holds nothing but white space.",
        "The model learns to end its turn at once.",
        "drop",
    ),
    Rule(
        "empty_turn",
        "warning",
        "empty questions",
        "A user or system turn holds nothing but white space.",
        "The model learns to answer a question that it was not asked.",
        "drop",
    ),
    Rule(
        "duplicate_keys",
        "warning",
        "rows that name a key twice",
        "One JSON object has the same key twice; readers keep the last value.",
        "What is trained on is not what was meant, and differs from reader to reader.",
    ),
    Rule(
        "misplaced_system",
        "error",
        "system turns that are not first",
        "A system turn stands after another turn.",
        "Many chat templates refuse the row, others drop the turn without a word.",
        "roles",
    ),
    Rule(
        "repeated_role",
        "warning",
        "two turns of one role in a row",
        "Two user turns, or two assistant turns, follow each other.",
        "Templates that insist on taking turns refuse the row (Llama 2, Mistral, Gemma).",
        "roles",
    ),
    Rule(
        "starts_with_answer",
        "warning",
        "rows that begin with an answer",
        "The first turn after the system prompt is the assistant's.",
        "The model learns to speak unasked; some templates refuse the row.",
    ),
    Rule(
        "tool_mismatch",
        "error",
        "tool results without a call, or calls without a result",
        "A tool turn does not follow a call, or a call in the middle of a row is never answered.",
        "The model learns calls that go nowhere, and results from nowhere.",
    ),
    Rule(
        "unanswered_end",
        "info",
        "rows that end with a question",
        "Turns after the last answer teach nothing; they are left out of the text.",
        "Nothing but their bytes.",
    ),
    # What is in the texts.
    Rule(
        "terminal_control",
        "error",
        "escape and control characters",
        "ESC, other C0 or C1 control characters, or a NUL stands in a text.",
        "The model learns to write them, and they act on any terminal that prints an answer.",
        "strip_controls",
    ),
    Rule(
        "invisible_characters",
        "warning",
        "invisible or direction-changing characters",
        "Zero-width characters, byte-order marks or bidirectional overrides stand in a text.",
        "They split words into rare tokens, and can make a text read otherwise than it is.",
        "strip_controls",
    ),
    Rule(
        "mojibake",
        "warning",
        "damaged encoding",
        "UTF-8 was read as Latin-1 or Windows-1252 (Ã© for é), perhaps twice.",
        "The model learns to write the damage.",
        "encoding",
    ),
    Rule(
        "replacement_character",
        "warning",
        "characters lost for good",
        "U+FFFD stands where a byte could not be decoded; what it was is gone.",
        "The model learns to write �.",
    ),
    Rule(
        "html_leftovers",
        "info",
        "HTML left over",
        "Tags or entities stand outside code.",
        "The model learns to write them in its answers.",
    ),
    Rule(
        "cut_off",
        "info",
        "answers that seem cut off",
        "The answer ends in the middle of a word or sentence, or leaves a fence or bracket open.",
        "The model learns to stop half-way.",
    ),
    Rule(
        "refusal",
        "info",
        "refusals",
        "The answer begins with a stock refusal.",
        "The model learns to refuse more often than asked for. Some are right: look at them.",
    ),
    Rule(
        "repetition",
        "warning",
        "answers that repeat themselves",
        "A large share of the answer is the same few words again and again.",
        "The model learns loops.",
        "drop",
    ),
    Rule(
        "language_mismatch",
        "warning",
        "answers in another script than the question",
        "Question and answer are written in different scripts.",
        "The model learns to change the language. Right for translations.",
    ),
    Rule(
        "language_mix",
        "info",
        "several scripts or languages",
        "The rows are written in more than one script or language.",
        "A language with few rows is learned badly.",
    ),
    Rule(
        "secret",
        "error",
        "secrets",
        "A key or token of a known vendor's form, or a private key, stands in a text.",
        "The model can repeat it to anybody. The list of forms is not complete.",
        "drop",
    ),
    Rule(
        "personal_data",
        "warning",
        "personal data",
        "An e-mail address, a card number, a bank account number or a public IP address stands in a text.",
        "The model can repeat it. More personal data is in a text than patterns can find.",
    ),
    # What rows are to each other.
    Rule(
        "exact_duplicate",
        "warning",
        "rows that occur more than once",
        "The same conversation stands in the file again.",
        "It weighs twice, is learned by heart, and repeated word for word ten times as often (Lee et al. 2022).",
        "deduplicate",
    ),
    Rule(
        "near_duplicate",
        "warning",
        "rows that are almost the same",
        "Another row differs in a few words only.",
        "As for exact duplicates, unless the difference is what matters: look at it.",
        "deduplicate",
    ),
    Rule(
        "repeated_prompt",
        "info",
        "prompts with several answers",
        "The same prompt stands in several rows.",
        "Nothing where the answers are meant to vary.",
    ),
    Rule(
        "contradiction",
        "warning",
        "answers that contradict each other",
        "The same prompt has answers that differ in a yes or no, a number or a label.",
        "The model learns to guess between them.",
    ),
    Rule(
        "inconsistent_label",
        "warning",
        "labels that disagree",
        "Almost the same prompt has another label; the answers of this set are a small set of labels.",
        "A wrong label costs more than a missing row.",
    ),
    Rule(
        "leakage",
        "error",
        "validation rows that are trained on",
        "A prompt of the validation file stands in the training file, case, spaces and punctuation aside.",
        "The validation loss measures memory; overfitting is not seen.",
        "drop_leaked",
    ),
    Rule(
        "near_leakage",
        "warning",
        "validation rows close to training rows",
        "A validation row differs from a training row in a few words only.",
        "The validation loss is better than on new rows.",
        "drop_leaked",
    ),
    Rule(
        "length_outlier",
        "info",
        "rows of unusual length",
        "The row is far longer or shorter than the others of this set.",
        "The longest rows set the memory that a step needs; the shortest are often broken.",
    ),
    Rule(
        "mixed_system_prompts",
        "warning",
        "system prompts in some rows only",
        "Some rows have a system prompt and others do not, or a few rows have another than the rest.",
        "The model learns two behaviours and picks one by whether the prompt is there.",
    ),
    # Under the recipe at hand: what the model's tokenizer and template make of the rows.
    Rule(
        "template_error",
        "error",
        "rows that the chat template refuses",
        "The template of this model raises an error for the row.",
        "The row cannot be trained on with this model.",
        "drop",
    ),
    Rule(
        "nothing_supervised",
        "error",
        "rows without a token to learn",
        "After cutting to data.max_length no token of an answer is left, or the mask leaves none.",
        "The row costs time and teaches nothing; some trainers report a loss of 0 or nan for it.",
        "drop",
    ),
    Rule(
        "overlength",
        "warning",
        "rows longer than data.max_length",
        "The row has more tokens than data.max_length; data.overlength says what becomes of it.",
        "Dropped rows are lost; cut rows lose the end of their answer, and the end-of-turn token with it.",
    ),
    Rule(
        "end_not_learned",
        "error",
        "answers whose end is not learned",
        "The end-of-turn token of the last answer is not among the learned tokens.",
        "The model does not learn to stop.",
    ),
    Rule(
        "doubled_special",
        "warning",
        "doubled start or end tokens",
        "The start or the end token stands twice in a row.",
        "The model sees in use what it did not see in training; answers get worse without a sign.",
    ),
    Rule(
        "missing_start",
        "warning",
        "no start token where the model expects one",
        "The tokenizer puts a start token before every text, and the template leaves it out.",
        "Some models (Gemma, Llama 3) are much worse without it.",
    ),
    Rule(
        "special_in_text",
        "warning",
        "special tokens inside a text",
        "A turn's own text holds a special token of this model, such as <|im_end|>.",
        "It ends the turn for the model: text after it is read as another turn.",
    ),
)

RULES: Mapping[str, Rule] = {rule.name: rule for rule in _RULES}
