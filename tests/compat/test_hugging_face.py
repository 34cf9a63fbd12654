"""Sequence mechanisms as a model of transformers: generation from states is generation without them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from remanence.catalog import cards
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


@pytest.mark.parametrize("slug", [slug for slug, card in cards().items() if card.substrate == "sequence"])
def test_every_mechanism_generates_from_states_what_it_does_without(slug: str, tmp_path: Path) -> None:
    made = model(mixers=[slug])
    padded, mask = torch.cat([PROMPT, PROMPT.flip(1)]), torch.ones(2, 5, dtype=torch.int64)
    mask[1, :3] = 0
    told = made.generate(padded, attention_mask=mask, max_new_tokens=4, do_sample=False)
    assert torch.equal(told[:1], made.generate(PROMPT, max_new_tokens=4, do_sample=False, use_cache=False))
    assert torch.equal(told[1:, 3:], made.generate(padded[1:, 3:], max_new_tokens=4, do_sample=False))
    made.save_pretrained(tmp_path)
    again = SequenceForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again.generate(padded, attention_mask=mask, max_new_tokens=4, do_sample=False), told)


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
    with pytest.raises(InvalidInput, match=r"gated_kalmanet: .*colour"):
        model(mixers=[{"slug": "gated_kalmanet", "colour": 3}])
    with pytest.raises(InvalidInput, match="hidden_size is the model's"):
        model(mixers=[{"slug": "gated_kalmanet", "hidden_size": 8}])
    with pytest.raises(InvalidInput, match=r"needs a slug.*num_heads"):
        model(mixers=[{"num_heads": 2}])


@pytest.mark.parametrize("one", ["gated_kalmanet", {"slug": "gated_kalmanet"}])
def test_one_mixer_needs_no_list(one: Any) -> None:
    assert model(mixers=one).config.mixers == [{"slug": "gated_kalmanet"}]


def test_inputs_of_wrong_shapes_are_told() -> None:
    made = model()
    with pytest.raises(InvalidInput, match=r"whole numbers \[B, T\]; got torch.int64 \(5,\)"):
        made(PROMPT[0])
    with pytest.raises(InvalidInput, match=r"attention_mask must be \[B, T or more\] for 5 tokens; got \(1, 4\)"):
        made(PROMPT, attention_mask=torch.ones(1, 4))


def test_a_cache_of_keys_and_values_is_refused() -> None:
    made = model()
    with pytest.raises(InvalidInput, match=r"past_key_values must be a StateCache.*DynamicCache"):
        made(PROMPT, past_key_values=DynamicCache())
    with pytest.raises(InvalidInput, match=r"past_key_values must be a StateCache.*DynamicCache"):
        made.generate(PROMPT, past_key_values=DynamicCache(), max_new_tokens=2)


def test_a_vocabulary_can_grow(tmp_path: Path) -> None:
    made = model()
    before = logits(made, PROMPT)
    made.resize_token_embeddings(40, mean_resizing=False)
    assert made.config.vocab_size == made.model.vocab_size == 40
    assert torch.equal(logits(made, PROMPT)[..., :32], before)
    made.save_pretrained(tmp_path)
    assert logits(SequenceForCausalLM.from_pretrained(tmp_path), PROMPT).shape == (1, 5, 40)


def test_without_torch_the_error_names_the_extra() -> None:
    code = "import sys; sys.modules['torch'] = None\nimport remanence.compat.hugging_face"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingExtra: remanence.compat.hugging_face needs torch" in run.stderr
    assert "remanence[torch]" in run.stderr


def test_states_cannot_be_rolled_back_and_the_error_says_so() -> None:
    made = model()
    with pytest.raises(ValueError, match="stateful"):
        made.generate(PROMPT, assistant_model=model(1), max_new_tokens=3)
