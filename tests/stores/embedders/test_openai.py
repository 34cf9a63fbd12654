"""The HTTP embedder against a scripted server on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from remanence.core.errors import EmbeddingError, InvalidInput
from remanence.stores.embedders.openai import OpenAIEmbedder
from remanence.substrates.embedding import EmbeddingSpace

pytestmark = pytest.mark.loopback

Answer = tuple[int, dict[str, str], bytes]
Step = Callable[[dict[str, Any]], Answer]


@dataclass
class Service:
    """Plays its script one step per request, then answers well for ever; keeps what it was sent."""

    script: list[Step] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    url: str = ""
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def inputs(self) -> list[list[str]]:
        return [request["input"] for request in self.requests]


def vector(text: str, dim: int = 3) -> list[float]:
    return [float(len(text)), 1.0, float(sum(map(ord, text)) % 7)][:dim] + [0.5] * (dim - 3)


def unit(text: str, dim: int = 3) -> list[float]:
    values = np.array(vector(text, dim))
    return [float(x) for x in values / np.linalg.norm(values)]


def ok(items: list[dict[str, Any]]) -> Answer:
    return 200, {}, json.dumps({"object": "list", "data": items, "model": "m"}).encode()


def well(request: dict[str, Any]) -> Answer:
    dim = request.get("dimensions", 3)
    return ok([{"index": i, "embedding": vector(text, dim)} for i, text in enumerate(request["input"])])


def shuffled(request: dict[str, Any]) -> Answer:
    items = [{"index": i, "embedding": vector(text)} for i, text in enumerate(request["input"])]
    return ok(items[1:][::-1] + items[:1])


def fixed(status: int, body: bytes = b"{}", **headers: str) -> Step:
    return lambda request: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.requests.append(request)
            service.headers.append(dict(self.headers))
            service.paths.append(self.path)
            step = service.script.pop(0) if service.script else well
            status, headers, body = step(request)
            try:
                self.send_response_only(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", headers.get("Content-Length", str(len(body))))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client gave up first, as the timeout test wants

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    yield service
    service.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


def make(service: Service, pauses: list[float], **options: Any) -> OpenAIEmbedder:
    return OpenAIEmbedder("m", service.url, "secret-key", sleep=pauses.append, **{"dimensions": 3, **options})


def test_well_formed_answers(service: Service, pauses: list[float]) -> None:
    embedder = make(service, pauses)
    vectors = embedder.embed(["one", "three"])
    np.testing.assert_allclose(vectors, [unit("one"), unit("three")], rtol=1e-6)
    assert vectors.dtype == np.float32
    assert service.paths == ["/v1/embeddings"]
    assert service.requests == [{"model": "m", "input": ["one", "three"], "encoding_format": "float", "dimensions": 3}]
    assert service.headers[0]["Authorization"] == "Bearer secret-key"
    assert pauses == []
    assert not embedder.inline


def test_dimension_is_learnt_once_when_not_given(service: Service, pauses: list[float]) -> None:
    embedder = make(service, pauses, dimensions=None)
    assert service.requests == []
    assert embedder.space == EmbeddingSpace("openai:m", 3)
    assert embedder.space.key == "openai:m:3"
    embedder.embed(["x"])
    assert len(service.requests) == 2
    assert all("dimensions" not in request for request in service.requests)


def test_answers_in_another_order_are_put_right(service: Service, pauses: list[float]) -> None:
    texts = ["a", "bb", "ccc", "dddd"]
    service.script = [shuffled]
    np.testing.assert_allclose(make(service, pauses).embed(texts), [unit(text) for text in texts], rtol=1e-6)


def test_answers_without_index_are_taken_as_they_come(service: Service, pauses: list[float]) -> None:
    service.script = [lambda request: ok([{"embedding": vector(text)} for text in request["input"]])]
    np.testing.assert_allclose(make(service, pauses).embed(["a", "bb"]), [unit("a"), unit("bb")], rtol=1e-6)


def test_batches_by_count_and_by_size(service: Service, pauses: list[float]) -> None:
    embedder = make(service, pauses, batch_size=2)
    assert embedder.embed(["a", "b", "c", "d", "e"]).shape == (5, 3)
    assert service.inputs == [["a", "b"], ["c", "d"], ["e"]]
    service.requests.clear()
    make(service, pauses, max_chars=100_000).embed(["x" * 100_000] * 5)
    assert [len(batch) for batch in service.inputs] == [2, 2, 1]


def test_blank_texts_are_not_sent_and_get_zeros(service: Service, pauses: list[float]) -> None:
    vectors = make(service, pauses).embed(["", "a", " \n\t", "b"])
    assert service.inputs == [["a", "b"]]
    assert not vectors[[0, 2]].any()
    np.testing.assert_allclose(vectors[[1, 3]], [unit("a"), unit("b")], rtol=1e-6)
    assert make(service, pauses).embed([""]).tolist() == [[0, 0, 0]]
    assert make(service, pauses).embed([]).shape == (0, 3)
    assert len(service.requests) == 1


def test_hostile_text_reaches_the_service_as_valid_unicode(service: Service, pauses: list[float]) -> None:
    make(service, pauses, max_chars=10).embed(["\ud800a\x00👍", "x" * 11])
    assert service.inputs == [["?a\x00👍", "x" * 10]]


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_passing_trouble_is_retried(service: Service, pauses: list[float], status: int) -> None:
    service.script = [fixed(status), fixed(status)]
    np.testing.assert_allclose(make(service, pauses).embed(["a"]), [unit("a")], rtol=1e-6)
    assert pauses == [0.5, 1.0]


def test_retry_after_is_obeyed(service: Service, pauses: list[float]) -> None:
    then, now = "Wed, 01 Jan 2025 00:00:07 GMT", "Wed, 01 Jan 2025 00:00:00 GMT"
    service.script = [
        fixed(429, Retry_After="2.5"),
        fixed(503, Retry_After=then, Date=now),
        fixed(503, Retry_After=now, Date=then),
        fixed(429, Retry_After="soon"),
    ]
    make(service, pauses).embed(["a"])
    assert pauses == [2.5, 7.0, 0.0, 4.0]


def test_a_long_retry_after_is_not_waited_for(service: Service, pauses: list[float]) -> None:
    service.script = [fixed(429, b'{"error": {"message": "quota"}}', Retry_After="3600")]
    with pytest.raises(EmbeddingError, match="HTTP 429: quota; it asks to come back in 3600 s"):
        make(service, pauses).embed(["a"])
    assert pauses == []


def test_retries_are_bounded(service: Service, pauses: list[float]) -> None:
    service.script = [fixed(500, b'{"error": {"message": "overloaded"}}')] * 10
    with pytest.raises(EmbeddingError, match="answered HTTP 500: overloaded"):
        make(service, pauses, retries=3).embed(["a"])
    assert len(service.requests) == 4
    assert pauses == [0.5, 1.0, 2.0]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (400, b'{"error": {"message": "input too long"}}', "HTTP 400: input too long"),
        (401, b'{"error": {"message": "bad key"}}', "bad key; check api_key or OPENAI_API_KEY"),
        (404, b"<html>nothing here</html>", "nothing here.*check the model name and base_url"),
        (422, b'{"error": "no such model"}', "HTTP 422: no such model"),
        (403, b"", "HTTP 403: Forbidden; check what the API key may do"),
    ],
)
def test_refusals_are_not_retried(
    service: Service, pauses: list[float], status: int, body: bytes, message: str
) -> None:
    service.script = [fixed(status, body)]
    with pytest.raises(EmbeddingError, match=message) as caught:
        make(service, pauses).embed(["a"])
    assert len(service.requests) == 1
    assert pauses == []
    assert "secret-key" not in str(caught.value)


def test_redirects_would_leak_the_key_and_are_refused(service: Service, pauses: list[float]) -> None:
    service.script = [fixed(307, Location=f"{service.url}/elsewhere"), fixed(302, Location=f"{service.url}/x")]
    for _ in range(2):
        with pytest.raises(EmbeddingError, match="redirects are not followed"):
            make(service, pauses).embed(["a"])
    assert service.paths == ["/v1/embeddings"] * 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{not json", "something other than JSON"),
        (b"\xff\xfe", "something other than JSON"),
        (b"[" * 100_000, "something other than JSON"),
        (b"[]", "without a 'data' list"),
        (b'{"data": 3}', "without a 'data' list"),
        (b'{"data": [{"index": 0}]}', "without a 'data' list"),
        (b'{"data": []}', "0 vectors for 1 texts"),
        (b'{"data": [{"index": 1, "embedding": [1, 2, 3]}]}', r"numbered \[1\] for 1 texts"),
        (b'{"data": [{"index": null, "embedding": [1, 2, 3]}]}', r"numbered \[None\]"),
        (b'{"data": [{"index": 0, "embedding": [1, 2]}]}', "2 dimensions where 3 were promised"),
        (b'{"data": [{"index": 0, "embedding": [1, 2, "x"]}]}', "no matrix of numbers"),
        (b'{"data": [{"index": 0, "embedding": null}]}', "shape|no matrix"),
        (b'{"data": [{"index": 0, "embedding": [1, 2, 1' + b"0" * 400 + b"]}]}", "no matrix of numbers"),
        (b'{"data": [{"index": 0, "embedding": [1, NaN, 3]}]}', "NaN or an infinite value"),
        (b'{"data": [{"index": 0, "embedding": [1, 1e999, 3]}]}', "NaN or an infinite value"),
    ],
)
def test_malformed_answers_are_typed_errors(service: Service, pauses: list[float], body: bytes, message: str) -> None:
    service.script = [fixed(200, body)]
    with pytest.raises(EmbeddingError, match=message):
        make(service, pauses).embed(["a"])
    assert len(service.requests) == 1


def test_a_doubled_index_does_not_pass(service: Service, pauses: list[float]) -> None:
    service.script = [lambda request: ok([{"index": 0, "embedding": [1, 2, 3]}] * 2)]
    with pytest.raises(EmbeddingError, match=r"numbered \[0, 0\] for 2 texts"):
        make(service, pauses).embed(["a", "b"])


def test_silence_is_a_timeout(service: Service, pauses: list[float]) -> None:
    def silent(request: dict[str, Any]) -> Answer:
        service.released.wait(60)
        return well(request)

    service.script = [silent, silent]
    started = time.monotonic()
    with pytest.raises(EmbeddingError, match=r"no answer within 0.1 s"):
        make(service, pauses, timeout=0.1, retries=1).embed(["a"])
    assert time.monotonic() - started < 60
    assert pauses == [0.5]


def test_an_answer_cut_short_is_retried(service: Service, pauses: list[float]) -> None:
    whole = well({"input": ["a"]})[2]
    service.script = [fixed(200, whole[:20], Content_Length=str(len(whole)), Connection="close")]
    np.testing.assert_allclose(make(service, pauses, timeout=60.0).embed(["a"]), [unit("a")], rtol=1e-6)
    assert pauses == [0.5]


def test_an_absent_service_is_named(pauses: list[float]) -> None:
    embedder = OpenAIEmbedder("m", "http://127.0.0.1:1/v1", dimensions=3, retries=2, sleep=pauses.append)
    with pytest.raises(EmbeddingError, match=r"model 'm' at http://127.0.0.1:1/v1/embeddings cannot be reached"):
        embedder.embed(["a"])
    assert pauses == [0.5, 1.0]


def test_environment_gives_key_and_address(
    service: Service, monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", service.url + "/")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment\n")
    OpenAIEmbedder("m", dimensions=3).embed(["a"])
    assert service.headers[0]["Authorization"] == "Bearer from-environment"
    OpenAIEmbedder("m", api_key="", dimensions=3).embed(["a"])
    assert "Authorization" not in service.headers[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "no model"),
        ({"base_url": "file:///etc"}, "no http"),
        ({"base_url": "localhost:8000"}, "no http"),
        ({"base_url": "http://user:pass@localhost/v1"}, "pass a key as api_key"),
        ({"api_key": "two\nlines"}, "no HTTP header can carry"),
        ({"api_key": "ключ"}, "no HTTP header can carry"),
        ({"dimensions": 0}, "dimensions=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"retries": -1}, "retries=-1"),
        ({"timeout": 0}, "timeout=0"),
        ({"max_chars": 0}, "max_chars=0"),
    ],
)
def test_unusable_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        OpenAIEmbedder(**{"model": "m", **options})
