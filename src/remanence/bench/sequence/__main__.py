"""`python -m remanence.bench.sequence`: train and generate, experiment and show."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click
import torch

from remanence.bench.sequence import experiment as experiments
from remanence.bench.sequence import showing
from remanence.bench.sequence.corpus import BYTES, ByteCorpus
from remanence.bench.sequence.measuring import bits
from remanence.bench.sequence.training import Plan, Trainer, checkpoints
from remanence.core.errors import InvalidInput, RemanenceError
from remanence.substrates.sequence import state as states

_TEXT = Path("text/tinyshakespeare.txt")
_ABOUT = "model.json"


@click.group(help=__doc__)
def main() -> None:
    """Commands for sequence memories."""


@main.command()
@click.option("--data", envvar="REMANENCE_BENCH_DATA", type=click.Path(path_type=Path),
              help="Folder with data sets; its text/tinyshakespeare.txt is read.")  # fmt: skip
@click.option("--text", type=click.Path(path_type=Path), help="A text of your own, in place of that one.")
@click.option("--mixers", default="", help="Slugs, or slug:setting=value, separated by spaces. Default: all there are.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--minutes", default=30.0, show_default=True, help="How long all of it may take; decides the steps.")
@click.option("--steps", type=int, help="Steps on bytes, four times as many on recall, whatever time they take.")
@click.option("--out", default=Path("results/sequence.json"), show_default=True, type=click.Path(path_type=Path))
def experiment(
    data: Path | None, text: Path | None, mixers: str, seeds: int, minutes: float, steps: int | None, out: Path
) -> None:
    """Train mixers at equal parameters, measure them, and go on where an earlier run was broken off."""
    if text is None:
        if data is None:
            raise InvalidInput(
                "there is no text to train on; name one with --text, or a folder with data sets with --data"
            )
        text = data / _TEXT
    names = mixers.split() or experiments.default_mixers()
    setup = experiments.Setup(steps=steps, recall_steps=4 * steps) if steps else None
    experiments.run(
        names, seeds, ByteCorpus.read(text), out,
        text=text.name, setup=setup, minutes=None if steps else minutes, report=click.echo,
    )  # fmt: skip


@main.command()
@click.option("--results", default=Path("results/sequence.json"), show_default=True, type=click.Path(path_type=Path))
@click.option("--page", default=showing.PAGE, show_default=True, type=click.Path(path_type=Path))
@click.option("--figure", default=showing.FIGURE, show_default=True, type=click.Path(path_type=Path))
def show(results: Path, page: Path, figure: Path) -> None:
    """Write the page and the figure of an experiment."""
    found = experiments.load(results)
    showing.draw(found, figure)
    page.write_text(showing.page(found), encoding="utf-8")
    click.echo(f"wrote {page} and {figure}")


@main.command()
@click.argument("text", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--mixer", default="gated_delta_net", show_default=True, help="Slug, or slug:setting=value,…")
@click.option("--hidden-size", default=128, show_default=True)
@click.option("--layers", default=4, show_default=True)
@click.option("--steps", default=1000, show_default=True)
@click.option("--batch", default=16, show_default=True)
@click.option("--length", default=256, show_default=True)
@click.option("--lr", default=2e-3, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--checkpoint-every", default=100, show_default=True)
def train(
    text: Path, folder: Path, mixer: str, hidden_size: int, layers: int, steps: int, batch: int, length: int, lr: float,
    seed: int, checkpoint_every: int,
) -> None:  # fmt: skip
    """Train a byte-level model on a TEXT; checkpoints go to FOLDER, and the same command continues from the last."""
    corpus = ByteCorpus.read(text)
    setup = experiments.Setup(hidden_size=hidden_size, layers=layers)
    model = experiments.model_of(mixer, setup, vocabulary=BYTES, seed=seed)
    plan = Plan(steps=steps, lr=lr, checkpoint_every=checkpoint_every)
    trainer = Trainer(model, plan, corpus.batches(seed, size=batch, length=length), folder)
    about = {
        "mixer": mixer, "hidden_size": hidden_size, "layers": layers, "batch": batch, "length": length, "seed": seed,
        "text": hashlib.sha256(text.read_bytes()).hexdigest(),
    }  # fmt: skip
    file = folder / _ABOUT
    if checkpoints(folder) and file.exists():
        there = json.loads(file.read_text(encoding="utf-8"))
        if differing := [
            f"{key} {there.get(key)}, here {here}" for key, here in about.items() if there.get(key) != here
        ]:
            raise InvalidInput(
                f"the run in {folder} has another {'; another '.join(differing)}; give the same, or another folder"
            )
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(about), encoding="utf-8")
    if trainer.resume():
        click.echo(f"continuing after step {trainer.step}")
    trainer.run(progress=True)
    click.echo(f"{bits(model, corpus.test_batch(size=64, length=length)):.3f} bits per byte on what was held out")


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--prompt", default="\n", help="What the text begins with.")
@click.option("--tokens", default=200, type=click.IntRange(min=0), show_default=True)
@click.option("--temperature", default=0.8, type=click.FloatRange(min=0), show_default=True,
              help="0: always the likeliest byte.")  # fmt: skip
@click.option("--seed", default=0, show_default=True)
def generate(folder: Path, prompt: str, tokens: int, temperature: float, seed: int) -> None:
    """Continue a PROMPT with the newest checkpoint of a FOLDER that `train` wrote."""
    found = checkpoints(folder)
    if not found or not (folder / _ABOUT).is_file():
        raise InvalidInput(f"{folder} holds no trained model; make one with: python -m remanence.bench.sequence train")
    about = json.loads((folder / _ABOUT).read_text(encoding="utf-8"))
    setup = experiments.Setup(hidden_size=about["hidden_size"], layers=about["layers"])
    model = experiments.model_of(about["mixer"], setup, vocabulary=BYTES)
    model.load_state_dict(states.load(found[-1] / "model.safetensors")[0])
    said = list(prompt.encode() or b"\n")
    generator = torch.Generator().manual_seed(seed)
    ids, held = torch.tensor([said]), None
    with torch.no_grad():
        for _ in range(tokens):
            logits, held = model(ids, held)
            last = logits[0, -1]
            if temperature > 0:
                drawn = int(torch.multinomial((last / temperature).softmax(-1), 1, generator=generator))
            else:
                drawn = int(last.argmax())
            said.append(drawn)
            ids = torch.tensor([[drawn]])
    click.echo(bytes(said).decode("utf-8", errors="replace"))


if __name__ == "__main__":
    try:
        main()
    except RemanenceError as error:
        raise SystemExit(f"error: {error}") from None
