"""Tenants who try to reach each other through the proxy."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.server.conftest import over_all_stores
from tests.server.proxy.support import Body, Handler, Place, answer, proxied, says

pytestmark = [pytest.mark.loopback, over_all_stores]

# Prefixes of each other, patterns, other cases, other normal forms, quotes, paths, nothing but blanks.
USERS = (
    "ana", "an", "anab", "ANA", "an%", "an_", "a*", "jos\u00e9", "jose\u0301", "x' OR '1'='1", "../ana", "ana ",
    "ana\n", "١",
)  # fmt: skip
SECRET = "my password for the harbour gate is "
QUESTION = "what is the password for the harbour gate?"


@pytest.fixture
def place(store: str) -> Iterator[Place]:
    with proxied(store) as found:
        yield found


def post(place: Place, body: Any, key: str | None = None, **headers: str) -> httpx.Response:
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        return client.post(
            f"{place.base}/chat/completions",
            json=body,
            headers={**headers, **({"Authorization": f"Bearer {key}"} if key else {})},
        )


def asking(user: str | None, text: str = QUESTION) -> Body:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **({} if user is None else {"user": user})}


def word(at: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in f"{at:04}") + "zeppelin"


def test_no_user_is_told_what_another_one_said(place: Place) -> None:
    for at, user in enumerate(USERS):
        assert post(place, asking(user, SECRET + word(at))).status_code == 200
    for user in USERS:
        post(place, asking(user))
    prompts = [request["messages"][-1]["content"] for request in place.up.requests[len(USERS) :]]
    for at, prompt in enumerate(prompts):
        assert [other for other in range(len(USERS)) if word(other) in prompt] == [at]


def test_headers_and_fields_name_the_same_users(place: Place) -> None:
    post(place, asking("jos\u00e9", SECRET + "one"))
    with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
        for name, found in ((b"jos\xc3\xa9", True), (b"jose\xcc\x81", False)):
            client.post(
                f"{place.base}/chat/completions",
                content=json.dumps(asking(None)),
                headers=[(b"Content-Type", b"application/json"), (b"X-Memory-User", name)],
            )
            assert ("gate is one" in str(place.up.requests[-1])) == found


def test_many_tenants_at_once(place: Place) -> None:
    def parrot(handler: Handler, request: Body) -> None:
        handler.whole(200, answer(request["messages"][-1]["content"]))

    for at in range(12):
        place.memory.add(SECRET + word(at), user_id=f"user{at}")
    place.up.script = [parrot] * 48

    async def talk() -> list[tuple[int, str]]:
        async with openai.AsyncOpenAI(base_url=place.base, api_key="x", max_retries=0) as client:

            async def one(at: int) -> tuple[int, str]:
                reply = await client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": QUESTION}], user=f"user{at}"
                )
                return at, reply.choices[0].message.content or ""

            return await asyncio.gather(*(one(at % 12) for at in range(48)))

    for at, text in asyncio.run(talk()):
        assert [other for other in range(12) if word(other) in text] == [at]


def test_the_block_of_one_conversation_is_not_that_of_the_same_words_elsewhere(place: Place) -> None:
    calls: Any = [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    place.memory.add(SECRET + word(1), user_id="ana")
    talk = [
        *asking("ana")["messages"],
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "c", "content": "x"},
    ]
    place.up.script = [says(None, tool_calls=calls)]
    post(place, asking("ana"))
    for user in ("ana", "bob"):
        post(place, {"user": user, "messages": talk})
    assert [word(1) in str(request) for request in place.up.requests] == [True, True, False]


def test_without_a_key_nothing_happens(store: str) -> None:
    with proxied(store, auth=True) as place:
        token = place.key(None)
        place.service.keys.revoke(token.split("_")[1])
        for key in (None, "wrong", token, token[:-1] + ("0" if token[-1] != "0" else "1")):
            assert post(place, asking("ana"), key).status_code == 401
            with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                assert client.get(f"{place.base}/models", headers=headers).status_code == 401
                assert client.get(f"{place.base}/models/tiny", headers=headers).status_code == 401
        assert place.up.paths == []
        assert place.texts(user_id="ana") == []


def test_a_key_reaches_no_further_than_its_scope(store: str) -> None:
    with proxied(store, auth=True) as place:
        place.memory.add(SECRET + word(1), user_id="ana")
        place.memory.add(SECRET + word(2), user_id="bob")
        key = place.key({"user_id": "ana"})
        for body, headers in (
            (asking("bob"), {}),
            (asking(None), {"X-Memory-User": "bob"}),
            (asking("ana"), {"X-Memory-User": "bob"}),
        ):
            reply = post(place, body, key, **headers)
            assert (reply.status_code, reply.json()["error"]["type"]) == (403, "permission_error")
        assert place.up.raw == []
        # Whoever names nobody is the one of the key.
        assert post(place, asking(None), key).headers["x-memory-ids"]
        assert word(1) in str(place.up.requests)
        assert word(2) not in str(place.up.requests)
        assert len(place.texts(user_id="ana")) == 3
        # With memory off, `user` is a field for the upstream like any other.
        assert post(place, asking("bob"), key, **{"X-Memory-Mode": "off"}).status_code == 200
        assert len(place.texts(user_id="bob")) == 1


def test_a_key_of_an_app_keeps_its_users_apart(store: str) -> None:
    with proxied(store, auth=True) as place:
        shop, other = place.key({"app_id": "shop"}), place.key({"app_id": "other"})
        post(place, asking("ana", SECRET + word(1)), shop)
        post(place, asking("ana"), other)
        post(place, asking("bob"), shop)
        forgotten = post(place, asking(None), shop)
        post(place, asking("ana"), shop)
        assert forgotten.headers["x-memory-mode"] == "off"
        assert [word(1) in str(request) for request in place.up.requests[1:]] == [False, False, False, True]
        assert place.rows(user_id="ana", app_id="shop")[0]["app_id"] == "shop"


def test_a_key_of_a_session_does_not_see_the_users_other_sessions(store: str) -> None:
    with proxied(store, auth=True) as place:
        place.memory.add(SECRET + word(1), user_id="ana", run_id="private")
        post(place, asking("ana"), place.key({"run_id": "public"}))
        post(place, asking("ana"), place.key({"user_id": "ana"}), **{"X-Memory-Session": "public"})
        assert [word(1) in str(request) for request in place.up.requests] == [False, True]


@pytest.mark.parametrize(
    ("rights", "default", "refused"),
    [
        (("read",), "read", ("write", "readwrite")),
        (("write",), "write", ("read", "readwrite")),
        (("erase",), "off", ("read",)),
    ],
)
def test_rights(store: str, rights: tuple[str, ...], default: str, refused: tuple[str, ...]) -> None:
    with proxied(store, auth=True) as place:
        key = place.key(None, *rights)
        assert post(place, asking("ana"), key).headers["x-memory-mode"] == default
        for mode in refused:
            assert post(place, asking("ana"), key, **{"X-Memory-Mode": mode}).status_code == 403
        assert len(place.up.raw) == 1


def test_a_key_that_is_revoked_while_the_upstream_thinks_stores_nothing(store: str) -> None:
    asked, revoked = threading.Event(), threading.Event()

    def thinks(handler: Handler, request: Body) -> None:
        asked.set()
        assert revoked.wait(60)
        handler.whole(200, answer("too late"))

    with proxied(store, auth=True) as place:
        key = place.key({"user_id": "ana"})
        place.up.script = [thinks]
        replies: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: replies.append(post(place, asking("ana"), key)))
        thread.start()
        assert asked.wait(60)
        place.service.keys.revoke(key.split("_")[1])
        revoked.set()
        thread.join(60)
        assert replies[0].headers["x-memory-stored"] == "failed"
        assert place.texts(user_id="ana") == []
        assert post(place, asking("ana"), key).status_code == 401


def test_the_key_of_this_server_never_goes_upstream(store: str) -> None:
    with proxied(store, auth=True, key=None) as place:
        key = place.key({"user_id": "ana"})
        post(place, asking("ana"), key)
        post(place, asking("ana"), key, **{"X-Upstream-Key": "sk-mine"})
        post(place, asking("ana"), key, **{"X-Upstream-Key": key, "X-Note": f"my key is {key}"})
        with httpx.Client(verify=False, trust_env=False, timeout=60) as client:
            client.get(f"{place.base}/models?key={key}", headers={"X-API-Key": key})
        assert [one.get("authorization") for one in place.up.headers] == [None, "Bearer sk-mine", None, None]
        assert key not in str(place.up.headers) + str(place.up.paths) + str(place.up.raw)
