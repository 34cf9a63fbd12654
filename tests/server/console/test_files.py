"""The files of the console: who may have them, under which policy, and what stands in them."""

from __future__ import annotations

import re

import pytest

from remanence.server.console import mount
from remanence.server.console.pages import FOLDER, POLICY, files
from tests.server.conftest import Serve, Served

NAMES = sorted(files())
DANGEROUS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|DOMParser|srcdoc|setHTML|"
    r"createContextualFragment|javascript:|setTimeout\(\s*[\"'`]"
)
ELSEWHERE = re.compile(r"(?<!xmlns=\")\bhttps?://(?!www\.w3\.org/2000/svg|github\.com/)")


@pytest.fixture
def served(serve: Serve) -> Served:
    made = serve()
    if not made.service.is_public("GET", "/"):
        mount(made.app)
    made.key(None, name="so that nobody comes in without one")
    return made


def script(name: str) -> str:
    return files()[name].decode("utf-8")


def test_the_page_and_its_files_need_no_key(served: Served) -> None:
    page = served.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for name in NAMES:
        answer = served.get(f"{FOLDER}{name}")
        assert (answer.status_code, answer.content) == (200, files()[name])
    assert served.ask("HEAD", "/").status_code == 200


def test_every_answer_is_under_the_policy(served: Served) -> None:
    for path in ("/", *(f"{FOLDER}{name}" for name in NAMES)):
        headers = served.get(path).headers
        assert headers["content-security-policy"] == POLICY
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
    assert "default-src 'self'" in POLICY
    assert "unsafe" not in POLICY


@pytest.mark.parametrize(
    "name", ["", "nothing.js", "..%2fpages.py", "%2e%2e/pages.py", "/etc/passwd", "static/app.js", "app.js/"]
)
def test_nothing_else_is_there(served: Served, name: str) -> None:
    answer = served.get(f"{FOLDER}{name}")
    assert answer.status_code == 404
    assert answer.json()["error"]["type"] == "not_found"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_put_there(served: Served, method: str) -> None:
    assert served.ask(method, "/").status_code in (401, 405)
    assert served.ask(method, f"{FOLDER}app.js").status_code in (401, 405)


def test_behind_the_page_everything_needs_a_key(served: Served) -> None:
    for path in ("graph?user_id=ana", "catalog", "catalog/recall"):
        assert served.get(f"/api/v1/console/{path}").status_code == 401


@pytest.mark.parametrize("name", NAMES)
def test_no_text_can_become_markup_and_nothing_comes_from_elsewhere(name: str) -> None:
    assert DANGEROUS.findall(script(name)) == []
    assert ELSEWHERE.findall(script(name)) == []


@pytest.mark.parametrize(
    "line", ["box.innerHTML = text", "eval(text)", "document.write(text)", "setTimeout('go()', 1)"]
)
def test_a_line_that_would_is_noticed(line: str) -> None:
    assert DANGEROUS.search(line)
    assert ELSEWHERE.search("fetch('https://example.org')")


def test_the_page_has_no_code_or_style_of_its_own() -> None:
    page = script("index.html")
    assert re.findall(r"<script(?![^>]*\bsrc=)", page) == []
    assert re.findall(r"<style|\sstyle=|\son\w+=", page) == []


def test_every_file_that_is_named_is_there() -> None:
    page = script("index.html")
    assert set(re.findall(r"(?:src|href)=\"console/([^\"]+)\"", page)) <= set(NAMES)
    for name in NAMES:
        if name.endswith(".js"):
            folder = name.rpartition("/")[0]
            for target in re.findall(r"from \"(\.[^\"]+)\"", script(name)):
                parts = [part for part in f"{folder}/{target}".split("/") if part not in ("", ".")]
                while ".." in parts:
                    place = parts.index("..")
                    del parts[max(0, place - 1) : place + 1]
                assert "/".join(parts) in NAMES, f"{name} imports {target}"


def test_files_stay_readable() -> None:
    assert all(script(name).count("\n") < 600 for name in NAMES)
