"""Sequence mechanisms as a model of transformers: generation from states is generation without them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from remanence.compat.hugging_face import SequenceConfig, SequenceForCausalLM
from remanence.core.errors import InvalidInput

PROMPT = torch.tensor([[1, 2, 3, 9, 30]])


def model(seed: int = 0, **settings: Any) -> SequenceForCausalLM:
    config = SequenceConfig(**{"vocab_size": 32, "hidden_size": 16, "mixers": ["gated_kalmanet"], **settings})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made: SequenceForCausalLM = SequenceForCausalLM(config).eval()
        with torch.no_grad():
            # Larger than at the start of training, so that blocks outweigh the token itself and no two tokens tie.
            for one in made.model.blocks.parameters():
                if one.ndim > 1:
                    one.mul_(4)
            made.model.embedding.weight.normal_(std=0.3)
    return made


def logits(made: SequenceForCausalLM, ids: Tensor, **rest: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = made(ids, **rest).logits
    return found


def greedy(made: SequenceForCausalLM, ids: Tensor, count: int) -> Tensor:
    for _ in range(count):
        ids = torch.cat([ids, logits(made, ids)[:, -1:].argmax(-1)], 1)
    return ids


def test_greedy_generation_is_the_likeliest_token_again_and_again() -> None:
    made = model()
    wanted = greedy(made, PROMPT, 9)
    assert len(set(wanted[0, 5:].tolist())) > 2
    for use_cache in (True, False):
        assert torch.equal(made.generate(PROMPT, max_new_tokens=9, do_sample=False, use_cache=use_cache), wanted)


def test_generation_reads_every_token_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = model()
    lengths: list[int] = []
    hidden = made.model.hidden

    def counted(ids: Tensor, *rest: Any, **named: Any) -> Any:
        lengths.append(ids.shape[1])
        return hidden(ids, *rest, **named)

    monkeypatch.setattr(made.model, "hidden", counted)
    made.generate(PROMPT, max_new_tokens=4, do_sample=False)
    assert lengths == [5, 1, 1, 1]


@pytest.mark.parametrize("seed", range(3))
def test_beams_continue_from_the_states_that_they_were_chosen_from(seed: int) -> None:
    made = model(seed)
    options = {"max_new_tokens": 8, "num_beams": 4, "do_sample": False, "num_return_sequences": 3}
    assert torch.equal(made.generate(PROMPT, **options), made.generate(PROMPT, use_cache=False, **options))


def test_sampling_is_seeded_by_torch() -> None:
    made, drawn = model(), []
    for _ in range(2):
        torch.manual_seed(3)
        drawn.append(made.generate(PROMPT, max_new_tokens=8, do_sample=True, temperature=2.0))
    assert torch.equal(*drawn)


def test_prompts_of_different_length_are_padded_in_front() -> None:
    made = model()
    ids = torch.tensor([[0, 0, 5, 6, 7], [8, 9, 10, 11, 12]])
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    out = made.generate(ids, attention_mask=mask, max_new_tokens=6, do_sample=False)
    assert torch.equal(out[0, 2:], greedy(made, ids[:1, 2:], 6)[0])
    assert torch.equal(out[1], greedy(made, ids[1:], 6)[0])


def test_a_conversation_goes_on_from_its_cache() -> None:
    made = model()
    first = made.generate(PROMPT, max_new_tokens=4, do_sample=False, return_dict_in_generate=True)
    ids = torch.cat([first.sequences, torch.tensor([[4, 4]])], 1)
    second = made.generate(ids, past_key_values=first.past_key_values, max_new_tokens=4, do_sample=False)
    assert torch.equal(second, greedy(made, ids, 4))


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    made = model(mixers=["gated_kalmanet", {"slug": "gated_kalmanet", "solver": "exact", "num_heads": 1}])
    made.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.bin"))
    for loaded in (SequenceForCausalLM.from_pretrained(tmp_path), AutoModelForCausalLM.from_pretrained(tmp_path)):
        assert loaded.model.head.weight is loaded.model.embedding.weight
        # Where in memory a weight lies decides how its products are rounded: the weights are equal bit by bit.
        for name, one in made.state_dict().items():
            assert torch.equal(loaded.state_dict()[name], one), name
        torch.testing.assert_close(logits(loaded, PROMPT), logits(made, PROMPT))
    assert AutoConfig.from_pretrained(tmp_path).mixers[1]["solver"] == "exact"
    assert [one.num_heads for one in loaded.model.mixers] == [2, 1]


def test_untied_heads_are_kept_apart(tmp_path: Path) -> None:
    made = model(tie_word_embeddings=False)
    assert made.get_output_embeddings().weight is not made.get_input_embeddings().weight
    made.save_pretrained(tmp_path)
    torch.testing.assert_close(logits(SequenceForCausalLM.from_pretrained(tmp_path), PROMPT), logits(made, PROMPT))


def test_missing_weights_are_an_error(tmp_path: Path) -> None:
    model().save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    held = load_file(file)
    del held["model.blocks.0.mixer.q_proj.weight"]
    save_file(held, file, {"format": "pt"})
    with pytest.raises(InvalidInput, match=r"lacks model\.blocks\.0\.mixer\.q_proj\.weight"):
        SequenceForCausalLM.from_pretrained(tmp_path)


def test_the_loss_is_on_the_next_token_and_skips_what_is_marked() -> None:
    made = model()
    labels = PROMPT.clone()
    labels[0, 2] = -100
    with torch.no_grad():
        out = made(PROMPT, labels=labels)
    likely = out.logits[0].log_softmax(-1)
    kept = [likely[at - 1, PROMPT[0, at]] for at in (1, 3, 4)]
    torch.testing.assert_close(out.loss, -torch.stack(kept).mean())
    with pytest.raises(InvalidInput, match="labels need the logits of all tokens"):
        made(PROMPT, labels=labels, logits_to_keep=1)
    assert made(PROMPT, use_cache=False).past_key_values is None
    assert isinstance(made(PROMPT, return_dict=False), tuple)


def test_what_is_no_mixer_is_refused() -> None:
    with pytest.raises(InvalidInput, match="did you mean"):
        model(mixers=["gated_kalman"])
    with pytest.raises(InvalidInput, match="'recall' is a mechanism for records"):
        model(mixers=["recall"])
    with pytest.raises(InvalidInput, match="mixers is empty"):
        model(mixers=[])


def test_states_cannot_be_rolled_back_and_the_error_says_so() -> None:
    made = model()
    with pytest.raises(ValueError, match="stateful"):
        made.generate(PROMPT, assistant_model=model(1), max_new_tokens=3)
