"""Small random models of real architectures, saved to folders and loaded through the real code."""

from pathlib import Path
from typing import Any

ARCHITECTURES = ("gpt2", "llama", "mistral")
END = "<|endoftext|>"
_TEXT = [
    "The quick brown fox jumps over the lazy dog.",
    "User: Where is my parcel? Assistant: It is on its way.",
    "How do I bake bread? Mix flour, water, salt and yeast, and wait.",
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789",
]


def save_tokenizer(folder: Path, *, chat_template: str | None = None) -> Any:
    """A byte-level BPE tokenizer with 300 tokens; without a template, like GPT-2's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(_TEXT, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token=END, bos_token=None)
    if chat_template is not None:
        tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_model(folder: Path, architecture: str, *, dropout: float = 0.0, seed: int = 0) -> Path:
    """A two-layer random model with its tokenizer, in the layout of a hub download."""
    import torch
    from transformers import (
        GPT2Config,
        GPT2LMHeadModel,
        LlamaConfig,
        LlamaForCausalLM,
        MistralConfig,
        MistralForCausalLM,
        MixtralConfig,
        MixtralForCausalLM,
    )

    tokenizer = save_tokenizer(folder)
    vocabulary = len(tokenizer)
    common = {"vocab_size": vocabulary, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    torch.manual_seed(seed)
    if architecture == "gpt2":
        model: Any = GPT2LMHeadModel(
            GPT2Config(
                n_embd=32,
                n_layer=2,
                n_head=4,
                n_positions=256,
                attn_pdrop=dropout,
                embd_pdrop=dropout,
                resid_pdrop=dropout,
                **common,
            )
        )
    elif architecture == "llama":
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=256,
                attention_dropout=dropout,
                **common,
            )
        )
    elif architecture == "mixtral":
        model = MixtralForCausalLM(
            MixtralConfig(
                hidden_size=32,
                intermediate_size=48,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                num_local_experts=4,
                max_position_embeddings=256,
                attention_dropout=dropout,
                **common,
            )
        )
    else:
        model = MistralForCausalLM(
            MistralConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=256,
                sliding_window=8,
                attention_dropout=dropout,
                **common,
            )
        )
    model.save_pretrained(folder, safe_serialization=True)
    return folder
