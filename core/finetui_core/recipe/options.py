"""Every option of a recipe, declared once: type, range, default, help sentence, level and source.

The TOML check, `--set`, the form, the JSON schema and docs/recipe.md are all made from these classes.
Leaf names are those of `transformers.TrainingArguments` and `peft.LoraConfig`; tables group them.
None means "decided when the run starts, from the data and the model": see `defaults.py`.
Checks that involve more than one option are in `checks.py`.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from finetui_core.recipe import sources

Level = Literal["essential", "common", "all"]
DType = Literal["auto", "float32", "bfloat16", "float16"]
Quantize = Literal["none", "int8", "nf4"]
Attention = Literal["auto", "sdpa", "eager", "flash_attention_2"]
DataFormat = Literal["auto", "messages", "sharegpt", "alpaca", "prompt_completion", "text"]
TrainOn = Literal["assistant", "last", "all"]
Overlength = Literal["error", "drop", "truncate"]
Method = Literal["lora", "qlora", "full"]
Schedule = Literal["constant", "linear", "cosine"]
Sharding = Literal["none", "full"]
OnNonfinite = Literal["stop", "skip", "rollback"]

_CONFIG = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _about(level: Level, source: str = "") -> dict[str, Any]:
    """What pydantic does not know of an option: who needs to see it, and where its default comes from."""
    return {"level": level, "source": source}


class ModelOptions(BaseModel):
    """The model to start from, and how it is loaded."""

    model_config = _CONFIG

    name: str = Field(
        min_length=1,
        description="The base model: a folder in Hugging Face format, or a hub id such as owner/name.",
        json_schema_extra=_about("essential"),
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        description="The commit, tag or branch of a hub model; a commit makes the run repeatable.",
        json_schema_extra=_about("all"),
    )
    dtype: DType = Field(
        default="auto",
        description="The number type of the weights; auto takes bfloat16 where the device has it.",
        json_schema_extra=_about("common", sources.TRL),
    )
    quantize: Quantize = Field(
        default="none",
        description="Load the frozen base model in 8 or 4 bits; belongs to method qlora, "
        "which takes nf4 when this is left out.",
        json_schema_extra=_about("common", sources.QLORA),
    )
    chat_template: str | None = Field(
        default=None,
        min_length=1,
        description="A Jinja file to use in place of the model's own chat template.",
        json_schema_extra=_about("all"),
    )
    attn_implementation: Attention = Field(
        default="auto",
        description="The attention code; auto takes the fastest one that is installed and correct here.",
        json_schema_extra=_about("all"),
    )
    trust_remote_code: bool = Field(
        default=False,
        description="Run Python code that comes with the model; needs a pinned revision.",
        json_schema_extra=_about("all"),
    )


class DataOptions(BaseModel):
    """The examples, what of them is learned, and how they are cut."""

    model_config = _CONFIG

    train: str = Field(
        min_length=1,
        description="The training rows: a JSONL, JSON, CSV, Parquet or Arrow file, "
        "or a hub data set written hub:owner/name or hub:owner/name#split.",
        json_schema_extra=_about("essential"),
    )
    val: str | None = Field(
        default=None,
        min_length=1,
        description="The validation rows, in the same forms; without it, a share of the training rows.",
        json_schema_extra=_about("essential"),
    )
    val_fraction: float = Field(
        default=0.05,
        ge=0.0,
        le=0.5,
        description="The share of training rows kept for validation when val is not given; 0 keeps none.",
        json_schema_extra=_about("common"),
    )
    format: DataFormat = Field(
        default="auto",
        description="The layout of a row; auto recognises it from the first rows.",
        json_schema_extra=_about("common"),
    )
    train_on: TrainOn = Field(
        default="assistant",
        description="The tokens that are learned: every assistant turn, only the last one, or all tokens.",
        json_schema_extra=_about("common", sources.UNSLOTH),
    )
    max_length: int | None = Field(
        default=None,
        ge=8,
        le=1_048_576,
        description="The longest row, in tokens; left out, the model's context but at most 2048.",
        json_schema_extra=_about("essential", sources.LLAMA_FACTORY),
    )
    overlength: Overlength = Field(
        default="error",
        description="A row longer than max_length: refuse to start, drop the row, or cut its end off.",
        json_schema_extra=_about("common"),
    )
    packing: bool = Field(
        default=True,
        description="Put several short rows into one sequence; attention never crosses between rows.",
        json_schema_extra=_about("common", sources.TORCHTUNE),
    )
    replay: float = Field(
        default=0.0,
        ge=0.0,
        le=0.5,
        description="The share of general text, in learned tokens, that is trained on along with the rows, so that "
        "less is forgotten; 0 adds none.",
        json_schema_extra=_about("common", sources.REPLAY),
    )
    replay_text: str | None = Field(
        default=None,
        min_length=1,
        description="A plain text file to replay from, another one than eval.forgetting_probe; left out, the base "
        "model writes the text before training.",
        json_schema_extra=_about("common", sources.SELF_REPLAY),
    )


class TrainOptions(BaseModel):
    """The optimisation itself."""

    model_config = _CONFIG

    method: Method = Field(
        default="lora",
        description="Train adapters (lora), adapters on a quantized base (qlora), or every weight (full).",
        json_schema_extra=_about("essential", sources.BIDERMAN),
    )
    learning_rate: float | None = Field(
        default=None,
        gt=0.0,
        le=1.0,
        description="The peak learning rate; left out, it follows from the method and the size of the model.",
        json_schema_extra=_about("essential", sources.TINKER),
    )
    num_train_epochs: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="How often each row is seen; left out, 3 below 1,000 rows, 2 below 10,000, else 1.",
        json_schema_extra=_about("essential", sources.BIDERMAN),
    )
    max_steps: int = Field(
        default=-1,
        ge=-1,
        description="End after this many optimizer steps, whatever the number of epochs; -1 means no limit.",
        json_schema_extra=_about("common", sources.TRANSFORMERS),
    )
    per_device_train_batch_size: int = Field(
        default=8,
        ge=1,
        le=65_536,
        description="Rows that one device takes at a time; packing lays them end to end, in at most this many times "
        "max_length tokens.",
        json_schema_extra=_about("essential", sources.TRL_LORA),
    )
    gradient_accumulation_steps: int = Field(
        default=1,
        ge=1,
        le=65_536,
        description="Such batches added up before the optimizer steps once; the loss does not depend on the split.",
        json_schema_extra=_about("essential", sources.TRANSFORMERS),
    )
    lr_scheduler_type: Schedule = Field(
        default="cosine",
        description="How the learning rate moves after its peak; linear and cosine end at 0.",
        json_schema_extra=_about("common", sources.LLAMA_FACTORY_AND_AXOLOTL),
    )
    warmup_steps: float = Field(
        default=0.05,
        ge=0.0,
        description="Steps during which the learning rate rises; a number below 1 is a share of all steps.",
        json_schema_extra=_about("common", sources.LLAMA_FACTORY_AND_AXOLOTL),
    )
    weight_decay: float | None = Field(
        default=None,
        ge=0.0,
        le=1.0,
        description="AdamW weight decay; left out, 0 for adapters and 0.01 for full training.",
        json_schema_extra=_about("all", sources.TORCHTUNE_AND_AXOLOTL),
    )
    max_grad_norm: float = Field(
        default=1.0,
        gt=0.0,
        description="Gradients whose norm is larger are scaled down to it.",
        json_schema_extra=_about("all", sources.TRANSFORMERS),
    )
    on_nonfinite: OnNonfinite = Field(
        default="stop",
        description="A loss, gradient or weight that is NaN or infinite: stop with the last good weights, skip "
        "the batch, or go back to the last checkpoint (rollback) and leave the batch out from there on.",
        json_schema_extra=_about("all"),
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="Compute activations twice to save memory; the result is the same, the steps are slower.",
        json_schema_extra=_about("common", sources.TRANSFORMERS),
    )
    seed: int = Field(
        default=42,
        ge=0,
        le=2**32 - 1,
        description="Seeds the order of rows, the split, the adapters' start and dropout.",
        json_schema_extra=_about("common", sources.TRANSFORMERS),
    )


class LoraOptions(BaseModel):
    """The adapters of the methods lora and qlora; method full has none."""

    model_config = _CONFIG

    r: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="The rank of the adapters: their capacity; 16 holds tens of millions of learned tokens.",
        json_schema_extra=_about("essential", sources.LORA_WITHOUT_REGRET),
    )
    lora_alpha: int = Field(
        default=32,
        ge=1,
        le=65_536,
        description="The adapters' output is scaled by lora_alpha / r; keep it when r changes.",
        json_schema_extra=_about("common", sources.LORA_WITHOUT_REGRET),
    )
    lora_dropout: float | None = Field(
        default=None,
        ge=0.0,
        lt=1.0,
        description="Dropout on the adapters' input; left out, 0.05 below 1,000 rows and 0 from there on.",
        json_schema_extra=_about("common", sources.QLORA),
    )
    target_modules: Literal["all-linear"] | Annotated[list[str], Field(min_length=1)] = Field(
        default="all-linear",
        description="The modules that get an adapter: all-linear (all but the head) or a list of names.",
        json_schema_extra=_about("common", sources.LORA_WITHOUT_REGRET),
    )
    use_rslora: bool = Field(
        default=False,
        description="Scale by lora_alpha / sqrt(r) in place of lora_alpha / r.",
        json_schema_extra=_about("all", sources.PEFT),
    )
    use_dora: bool = Field(
        default=False,
        description="Learn each weight's magnitude and direction apart: slower, seldom better.",
        json_schema_extra=_about("all", sources.PEFT_BENCHMARK),
    )
    modules_to_save: list[str] = Field(
        default=[],
        description="Modules trained in full beside the adapters, such as embeddings when tokens were added.",
        json_schema_extra=_about("all", sources.PEFT),
    )


class EvalOptions(BaseModel):
    """What is measured while the run goes on."""

    model_config = _CONFIG

    steps: int = Field(
        default=0,
        ge=0,
        description="Evaluate every so many optimizer steps; 0 evaluates after each epoch.",
        json_schema_extra=_about("common"),
    )
    on_start: bool = Field(
        default=True,
        description="Evaluate the model before its first step as well; false trains sooner, but later evaluations "
        "have nothing to be compared with, so that no alarm tells that a run learns nothing or forgets.",
        json_schema_extra=_about("common", sources.TRANSFORMERS),
    )
    per_device_eval_batch_size: int = Field(
        default=0,
        ge=0,
        le=65_536,
        description="Rows in one forward pass of an evaluation on one device, packed ones so many times max_length "
        "tokens; 0 takes as many as in training. The losses are the same.",
        json_schema_extra=_about("all", sources.TRANSFORMERS),
    )
    max_rows: int = Field(
        default=500,
        ge=0,
        description="Validation rows used in an evaluation, always the same ones; 0 uses all.",
        json_schema_extra=_about("common"),
    )
    early_stopping_patience: int = Field(
        default=0,
        ge=0,
        description="End the run after so many evaluations without a better one; 0 never does.",
        json_schema_extra=_about("common", sources.INSTRUCTGPT),
    )
    samples: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Validation prompts that the model answers at each evaluation, for you to read.",
        json_schema_extra=_about("common"),
    )
    sample_max_new_tokens: int = Field(
        default=96,
        ge=1,
        le=8192,
        description="The longest such answer, in tokens.",
        json_schema_extra=_about("all"),
    )
    forgetting_probe: str | None = Field(
        default=None,
        min_length=1,
        description="A plain text file of general text: the rise of its loss shows what the model forgets.",
        json_schema_extra=_about("common", sources.PEFT_BENCHMARK),
    )
    meters: bool = Field(
        default=True,
        description="Measure forgetting on text that the base wrote, rows said by heart and a score of the task, in "
        "at most 2 % of the time; false measures the validation rows and forgetting_probe alone.",
        json_schema_extra=_about("common", sources.OWN_PLANTED_RUNS),
    )


class SaveOptions(BaseModel):
    """Checkpoints: when they are written and which are kept."""

    model_config = _CONFIG

    steps: int = Field(
        default=0,
        ge=0,
        description="Write a checkpoint every so many optimizer steps; 0 writes one after each epoch.",
        json_schema_extra=_about("common"),
    )
    minutes: float = Field(
        default=5.0,
        ge=0.0,
        le=1440.0,
        description="Write one as well when so many minutes have passed since the last, which is the most that a "
        "crash may cost; 0 never does.",
        json_schema_extra=_about("common"),
    )
    total_limit: int = Field(
        default=3,
        ge=1,
        description="The number of checkpoints kept; the newest and, with keep_best, the best are always among them.",
        json_schema_extra=_about("common"),
    )
    keep_best: bool = Field(
        default=True,
        description="Never delete the checkpoint with the lowest validation loss, and export that one.",
        json_schema_extra=_about("common", sources.OWN_PLANTED_RUNS),
    )


class LaunchOptions(BaseModel):
    """How many processes train together, on how many hosts, and what happens when one dies; names of torchrun."""

    model_config = _CONFIG

    nproc_per_node: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Training processes on each host, one for each GPU.",
        json_schema_extra=_about("common"),
    )
    nnodes: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="Hosts that train together; all of them see the folder of runs.",
        json_schema_extra=_about("all"),
    )
    rdzv_endpoint: str | None = Field(
        default=None,
        description="Address and free port of the host that starts the run, as the others reach it: host:port.",
        json_schema_extra=_about("all"),
    )
    max_restarts: int = Field(
        default=3,
        ge=0,
        le=100,
        description="How often a crashed run is started again by itself, from its newest sound checkpoint.",
        json_schema_extra=_about("common"),
    )
    sharding: Sharding = Field(
        default="none",
        description="What each of several processes holds: all weights, or with full a part of weights, gradients "
        "and optimizer state, so that a larger model fits.",
        json_schema_extra=_about("all", sources.FSDP),
    )

    @property
    def world_size(self) -> int:
        """Training processes on all hosts together."""
        return self.nproc_per_node * self.nnodes

    @property
    def is_sharded(self) -> bool:
        """Whether each of several processes holds a part of the weights."""
        return self.sharding == "full" and self.world_size > 1


class CostOptions(BaseModel):
    """What your machine costs, for the estimate before a run; the run itself does not look at it."""

    model_config = _CONFIG

    gpu_hour_price: float | None = Field(
        default=None,
        ge=0.0,
        le=100_000.0,
        description="What one hour of one GPU costs you; left out, the range of the dated table.",
        json_schema_extra=_about("common"),
    )
    currency: str = Field(
        default="USD",
        min_length=1,
        description="The currency of gpu_hour_price, as it is to be shown.",
        json_schema_extra=_about("all"),
    )


class Recipe(BaseModel):
    """All that says what a run is."""

    model_config = _CONFIG

    model: ModelOptions
    data: DataOptions
    train: TrainOptions = TrainOptions()
    lora: LoraOptions = LoraOptions()
    eval: EvalOptions = EvalOptions()
    save: SaveOptions = SaveOptions()
    launch: LaunchOptions = LaunchOptions()
    cost: CostOptions = CostOptions()
