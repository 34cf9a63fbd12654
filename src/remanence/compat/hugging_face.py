"""Sequence mechanisms as a language model of Hugging Face transformers (extra `torch`).

>>> from remanence.compat.hugging_face import SequenceConfig, SequenceForCausalLM
>>> config = SequenceConfig(vocab_size=32, hidden_size=16, num_hidden_layers=2, mixers=["gated_delta_net"])
>>> model = SequenceForCausalLM(config)
>>> import torch
>>> model.generate(torch.tensor([[1, 2, 3]]), max_new_tokens=4, do_sample=False).shape
torch.Size([1, 7])

`generate` carries the recurrent states along: a token costs the same whatever came before. `save_pretrained` and
`from_pretrained` keep weights and configuration; `AutoModelForCausalLM` knows the model once this module is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from remanence import catalog
from remanence.compat.extras import missing
from remanence.core.errors import InvalidInput

try:
    from torch import Tensor, nn
    from torch.nn import functional
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationMixin, PretrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutputWithPast

    from remanence.substrates.sequence import state as states
    from remanence.substrates.sequence.base import SequenceLayer
    from remanence.substrates.sequence.mechanism import State
    from remanence.substrates.sequence.model import SequenceModel
except ImportError as error:
    raise missing(__name__, "torch, transformers and safetensors", error, extra="torch") from error

__all__ = ["MODEL_TYPE", "SequenceConfig", "SequenceForCausalLM", "StateCache"]

MODEL_TYPE = "remanence_sequence"
_IGNORED = -100


class SequenceConfig(PretrainedConfig):  # type: ignore[misc] # transformers is not followed by the type checker
    """Which mechanism mixes which block, and how large everything is.

    Args:
        vocab_size: number of tokens.
        hidden_size: width of the tokens.
        num_hidden_layers: number of blocks.
        mixers: slugs of sequence mechanisms, or mappings with `slug` and the mechanism's own settings; repeated over
            the blocks, so that ["delta_net", "titans"] alternates. A single one needs no list.
        mlp_ratio: width of the channel mixers.
        tie_word_embeddings: whether the head is the embedding.
        use_cache: whether `forward` returns the states, if it is not told.

    """

    model_type = MODEL_TYPE

    def __init__(
        self,
        vocab_size: int = 256,
        hidden_size: int = 64,
        num_hidden_layers: int = 2,
        mixers: str | Mapping[str, Any] | Sequence[str | Mapping[str, Any]] = "gated_delta_net",
        mlp_ratio: float = 4.0,
        tie_word_embeddings: bool = True,
        use_cache: bool = True,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        several = [mixers] if isinstance(mixers, str | Mapping) else mixers
        self.mixers = [{"slug": one} if isinstance(one, str) else dict(one) for one in several]
        self.mlp_ratio = mlp_ratio
        self.use_cache = use_cache
        super().__init__(tie_word_embeddings=tie_word_embeddings, **kwargs)

    def makers(self) -> list[partial[SequenceLayer]]:
        """What makes the mixer of each block. Raises `InvalidInput` for what is no sequence mechanism."""
        if not self.mixers:
            raise InvalidInput("mixers is empty; name a sequence mechanism, for example ['gated_delta_net']")
        makers = []
        for at in range(self.num_hidden_layers):
            settings = dict(self.mixers[at % len(self.mixers)])
            slug = str(settings.pop("slug", ""))
            if not slug:
                raise InvalidInput(f"a mixer needs a slug beside its settings; got {settings}")
            if shared := settings.keys() & {"hidden_size", "seed"}:
                raise InvalidInput(f"{slug}: {' and '.join(sorted(shared))} is the model's, and no setting of a mixer")
            cls = catalog.get(slug)
            if not issubclass(cls, SequenceLayer):
                raise InvalidInput(f"{slug!r} is a mechanism for {cls.card.substrate}; a block needs one for sequence")
            makers.append(partial(_made, cls, hidden_size=self.hidden_size, seed=None, **settings))
        return makers


class StateCache:
    """The states of all blocks, in the place of a KV cache; what `generate` hands from token to token."""

    is_compileable = False

    def __init__(self, layers: Sequence[State], seen: int) -> None:
        self.layers = list(layers)
        self.seen = seen

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many positions were read, padding included."""
        return self.seen

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Let each beam continue from the state of the beam that it was chosen from."""
        self.layers = [states.select(one, beam_idx.to(next(iter(one.values())).device)) for one in self.layers]


class SequenceForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc] # as above
    """A causal language model whose blocks are mixed by mechanisms of the catalog."""

    config_class = SequenceConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _tied_weights_keys = {"model.head.weight": "model.embedding.weight"}  # noqa: RUF012 - transformers' own form
    # A state cannot be rolled back, as assisted decoding would want.
    _is_stateful = True
    _no_split_modules = ["Block"]  # noqa: RUF012 - as above

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__(config)
        self.model = SequenceModel(
            config.makers(),
            vocab_size=config.vocab_size,
            mlp_ratio=config.mlp_ratio,
            tie_embeddings=config.tie_word_embeddings,
            seed=None,
        )
        self.post_init()

    @classmethod
    def from_pretrained(cls, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Load what `save_pretrained` wrote. Raises `InvalidInput` when weights are missing: nothing stands in."""
        told = kwargs.pop("output_loading_info", False)
        model, info = super().from_pretrained(name, *args, output_loading_info=True, **kwargs)
        missing = sorted(set(info["missing_keys"]) - set(cls._tied_weights_keys))
        if missing:
            raise InvalidInput(f"{name} lacks {', '.join(missing)}; it was saved from another configuration")
        return (model, info) if told else model

    def _init_weights(self, module: nn.Module) -> None:
        # Every mechanism draws its own weights when it is made; transformers would draw others over them.
        return

    def get_input_embeddings(self) -> nn.Embedding:
        """The embedding of the tokens."""
        return self.model.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the embedding."""
        self.model.embedding = value

    def get_output_embeddings(self) -> nn.Linear:
        """The head."""
        return self.model.head

    def set_output_embeddings(self, value: nn.Linear) -> None:
        """Replace the head."""
        self.model.head = value

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: StateCache | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int = 0,
        **_: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Logits [B, T, vocabulary], or of the last `logits_to_keep` tokens; with labels [B, T], the loss on the next.

        `attention_mask` [B, T or more]: 0 for padding, anywhere; its last T columns stand for `input_ids`. Labels of
        -100 do not count. With `use_cache`, `past_key_values` of the answer continues after the last token.
        """
        length = input_ids.shape[-1]
        mask = None
        if attention_mask is not None:
            if attention_mask.ndim != 2 or attention_mask.shape[1] < length:
                raise InvalidInput(
                    f"attention_mask must be [B, T or more] for {length} tokens; got {tuple(attention_mask.shape)}"
                )
            mask = attention_mask[:, attention_mask.shape[1] - length :].bool()
        _check(past_key_values)
        hidden, ends = self.model.hidden(input_ids, past_key_values.layers if past_key_values else None, mask=mask)
        logits = self.model.head(hidden[:, -logits_to_keep:] if logits_to_keep else hidden)
        loss = None
        if labels is not None:
            if logits_to_keep:
                raise InvalidInput(f"labels need the logits of all tokens, not of the last {logits_to_keep}")
            loss = functional.cross_entropy(
                logits[:, :-1].flatten(0, 1).float(), labels[:, 1:].flatten(), ignore_index=_IGNORED
            )
        cache = None
        if self.config.use_cache if use_cache is None else use_cache:
            cache = StateCache(ends, (past_key_values.seen if past_key_values else 0) + length)
        if return_dict if return_dict is not None else self.config.return_dict:
            return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=cache)
        return tuple(one for one in (loss, logits, cache) if one is not None)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        past_key_values: StateCache | None = None,
        attention_mask: Tensor | None = None,
        use_cache: bool | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        """What `forward` is given for the next token: what the states have not read yet."""
        if past_key_values is not None:
            _check(past_key_values)
            input_ids = input_ids[:, past_key_values.seen :]
        return {
            "input_ids": input_ids,
            "past_key_values": past_key_values,
            "attention_mask": attention_mask,
            "use_cache": use_cache,
            "logits_to_keep": 1,
        }


def _made(cls: type[SequenceLayer], **settings: Any) -> SequenceLayer:
    try:
        return cls(**settings)
    except TypeError as error:
        raise InvalidInput(f"{cls.card.slug}: {error}") from error


def _check(cache: object) -> None:
    if cache is not None and not isinstance(cache, StateCache):
        raise InvalidInput(f"past_key_values must be a StateCache, which the model returns; got {type(cache).__name__}")


AutoConfig.register(MODEL_TYPE, SequenceConfig, exist_ok=True)
AutoModelForCausalLM.register(SequenceConfig, SequenceForCausalLM, exist_ok=True)
