"""The files that the guide gives for systemd and containers can be read as what they are."""

from __future__ import annotations

import configparser
import shlex

import click
import pytest
import yaml  # type: ignore[import-untyped]

from remanence.cli.serving import serve
from tests.architecture.tree import ROOT
from tests.docs.blocks import blocks

GUIDE = (ROOT / "docs" / "guides" / "server.md").read_text(encoding="utf-8")
TEXTS = [block.text for block in blocks(GUIDE) if block.language == "text"]


def parsed(words: list[str]) -> click.Context:
    """The options that a command line in a document gives to `remanence serve`."""
    start = words.index("serve") + 1
    return serve.make_context("serve", words[start:])


def test_the_systemd_unit() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(next(text for text in TEXTS if text.startswith("[Unit]")))
    assert set(unit.sections()) == {"Unit", "Service", "Install"}
    context = parsed(shlex.split(unit["Service"]["ExecStart"]))
    assert context.params["host"] == "127.0.0.1"
    assert context.params["auth"] is True


def test_the_compose_file() -> None:
    file = yaml.safe_load(next(text for text in TEXTS if text.startswith("services:")))
    service = file["services"]["memory"]
    assert set(file) == {"services", "volumes"}
    assert service["ports"] == ["127.0.0.1:8377:8377"], "open to the world only for whoever writes so"
    shell = shlex.split(service["command"])
    context = parsed(shlex.split(shell[2].rpartition("exec ")[2]))
    assert (context.params["host"], context.params["auth"]) == ("0.0.0.0", None)


def test_an_option_that_is_none_is_noticed() -> None:
    with pytest.raises(click.UsageError):
        parsed(["remanence", "serve", "--open-to-the-world"])
