"""LangChain, LlamaIndex and the OpenAI Agents SDK: their own code runs on our memory."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain_core")
pytest.importorskip("llama_index.core")
pytest.importorskip("agents")

from agents.memory import Session, SessionSettings
from langchain_core.chat_history import BaseChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.runnables import RunnableLambda
from langchain_core.runnables.history import RunnableWithMessageHistory
from llama_index.core.schema import QueryBundle

from remanence import Memory
from remanence.compat.langchain import RemanenceChatMessageHistory, RemanenceRetriever
from remanence.compat.llama_index import RemanenceRetriever as LlamaRetriever
from remanence.compat.openai_agents import RemanenceSession
from remanence.core.errors import InvalidInput, ScopeRequired


@pytest.fixture
def memory() -> Memory:
    memory = Memory(":memory:")
    memory.add("The spare key is under the flower pot", user_id="ana", metadata={"room": "porch"})
    memory.add("Rex sleeps in the shed", user_id="ana")
    memory.add("The spare key is with the neighbour", user_id="bob")
    return memory


# LangChain


def test_langchain_documents(memory: Memory) -> None:
    retriever = RemanenceRetriever(memory=memory, ids={"user_id": "ana"}, k=1)
    (document,) = retriever.invoke("where is the spare key?")
    assert document.page_content == "The spare key is under the flower pot"
    assert document.metadata["room"] == "porch"
    assert document.metadata["user_id"] == "ana"
    assert document.metadata["id"] == document.id
    assert document.metadata["score"] > 0.5
    assert asyncio.run(retriever.ainvoke("where is the spare key?")) == [document]
    assert retriever.batch(["spare key?", "where does Rex sleep?"])[1][0].page_content == "Rex sleeps in the shed"
    chain = retriever | RunnableLambda(lambda documents: documents[0].page_content)
    assert chain.invoke("where does Rex sleep?") == "Rex sleeps in the shed"


def test_langchain_options_go_to_search(memory: Memory) -> None:
    options: dict[str, Any] = {"filters": {"room": "porch"}, "threshold": 0.0}
    found = RemanenceRetriever(memory=memory, ids={"user_id": "ana"}, options=options).invoke("Rex")
    assert [document.page_content for document in found] == ["The spare key is under the flower pot"]
    with pytest.raises(ScopeRequired):
        RemanenceRetriever(memory=memory).invoke("key")


def test_langchain_one_call_may_ask_for_more_or_less(memory: Memory) -> None:
    retriever = RemanenceRetriever(memory=memory, ids={"user_id": "ana"}, k=2)
    assert len(retriever.invoke("where is the spare key?")) == 2
    assert len(retriever.invoke("where is the spare key?", k=1)) == 1
    only = retriever.invoke("Rex", filters={"room": "porch"})
    assert [document.page_content for document in only] == ["The spare key is under the flower pot"]


SAID: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("My violin lessons are on Tuesday", name="ana"),
    AIMessage("", tool_calls=[{"name": "calendar", "args": {"day": "Tuesday"}, "id": "1"}]),
    ToolMessage("free", tool_call_id="1"),
    AIMessage([{"type": "text", "text": "Noted: violin on Tuesday"}], id="m1"),
]


def test_langchain_history_keeps_every_message_as_it_was(memory: Memory) -> None:
    history = RemanenceChatMessageHistory(memory, "monday", user_id="ana")
    history.add_messages(SAID)
    history.add_user_message("And on Friday?")
    assert history.messages == [*SAID, HumanMessage("And on Friday?")]
    assert RemanenceChatMessageHistory(memory, "tuesday", user_id="ana").messages == []
    assert RemanenceChatMessageHistory(memory, "monday", user_id="bob").messages == []
    assert asyncio.run(history.aget_messages()) == history.messages


def test_langchain_history_is_remembered_and_what_is_no_memory_is_not_found(memory: Memory) -> None:
    RemanenceChatMessageHistory(memory, "monday", user_id="ana").add_messages(SAID)
    found = RemanenceRetriever(memory=memory, ids={"user_id": "ana"}, k=20).invoke("when are the violin lessons?")
    assert found[0].page_content == "My violin lessons are on Tuesday"
    assert found[0].metadata["run_id"] == "monday"
    texts = {document.page_content for document in found}
    assert texts == {
        "My violin lessons are on Tuesday", "Noted: violin on Tuesday", "Rex sleeps in the shed",
        "The spare key is under the flower pot",
    }  # fmt: skip


def test_langchain_history_keeps_a_prompt_with_recalled_memories_without_remembering_them_again(memory: Memory) -> None:
    history = RemanenceChatMessageHistory(memory, "monday", user_id="ana")
    block = str(memory.context("spare key", user_id="ana"))
    history.add_user_message(block)
    assert history.messages == [HumanMessage(block)]
    rows = memory.get_all(user_id="ana", session_id="monday")["results"]
    assert [(row["kind"], row["memory"]) for row in rows] == [("message", "[user]")]


def test_langchain_history_is_cleared_by_session(memory: Memory) -> None:
    one, two = (RemanenceChatMessageHistory(memory, name, user_id="ana") for name in ("monday", "tuesday"))
    one.add_messages(SAID)
    two.add_messages(SAID)
    one.clear()
    assert one.messages == []
    assert two.messages == SAID
    assert len(memory.get_all(user_id="ana")["results"]) == 2 + len(SAID)


@pytest.mark.filterwarnings("ignore:RunnableWithMessageHistory is deprecated")
def test_langchain_runs_a_chain_with_history(memory: Memory) -> None:
    def history(session_id: str) -> BaseChatMessageHistory:
        return RemanenceChatMessageHistory(memory, session_id, user_id="ana")

    prompt = ChatPromptTemplate.from_messages([MessagesPlaceholder("history"), ("human", "{question}")])
    model: RunnableLambda[Any, AIMessage] = RunnableLambda(
        lambda value: AIMessage(f"answer {len(value.to_messages())}")
    )
    chain = RunnableWithMessageHistory(
        prompt | model, history, input_messages_key="question", history_messages_key="history"
    )
    config: Any = {"configurable": {"session_id": "monday"}}
    answers = [chain.invoke({"question": f"question {n}"}, config=config).content for n in range(3)]
    assert answers == ["answer 1", "answer 3", "answer 5"]
    assert len(history("monday").messages) == 6


def test_long_histories_are_read_to_their_end(memory: Memory) -> None:
    history = RemanenceChatMessageHistory(memory, "long", user_id="ana")
    history.add_messages([HumanMessage(f"line {number}") for number in range(2_100)])
    assert [message.content for message in history.messages] == [f"line {number}" for number in range(2_100)]


@pytest.mark.parametrize("session", ["", None, 1.5, "x" * 600])
def test_bad_sessions_are_refused(memory: Memory, session: Any) -> None:
    with pytest.raises(InvalidInput):
        RemanenceChatMessageHistory(memory, session, user_id="ana")


# LlamaIndex


def test_llama_index_nodes(memory: Memory) -> None:
    retriever = LlamaRetriever(memory, similarity_top_k=1, user_id="ana")
    (node,) = retriever.retrieve("where is the spare key?")
    assert node.text == "The spare key is under the flower pot"
    assert node.score is not None
    assert node.score > 0.5
    assert node.metadata["room"] == "porch"
    assert node.metadata["user_id"] == "ana"
    assert memory.get(node.node_id, user_id="ana") is not None
    assert [one.text for one in asyncio.run(retriever.aretrieve(QueryBundle("Rex")))] == ["Rex sleeps in the shed"]
    assert LlamaRetriever(memory, user_id="ana", filters={"room": "attic"}).retrieve("key") == []


def test_no_prompt_says_twice_what_was_said(memory: Memory) -> None:
    """A turn of a conversation is found as its words, without the form in which its framework keeps it."""
    RemanenceChatMessageHistory(memory, "monday", user_id="ana").add_messages(SAID)
    asyncio.run(RemanenceSession("tuesday", memory, user_id="ana").add_items(ITEMS))
    documents = RemanenceRetriever(memory=memory, ids={"user_id": "ana"}, k=20).invoke("violin lessons")
    nodes = LlamaRetriever(memory, similarity_top_k=20, user_id="ana").retrieve("violin lessons")
    found = [document.metadata for document in documents] + [node.metadata for node in nodes]
    assert {"monday", "tuesday"} <= {metadata.get("run_id") for metadata in found}
    assert not any({"langchain", "openai_agents"} & set(metadata) for metadata in found)


def test_llama_index_answers_from_what_is_remembered_and_tells_the_model_no_ids(memory: Memory) -> None:
    from llama_index.core.llms import CompletionResponse, CustomLLM, LLMMetadata
    from llama_index.core.query_engine import RetrieverQueryEngine

    prompts: list[str] = []

    class Scripted(CustomLLM):
        """Keeps what it is asked."""

        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(context_window=4000, num_output=100)

        def complete(self, prompt: str, formatted: bool = False, **_: Any) -> CompletionResponse:
            prompts.append(prompt)
            return CompletionResponse(text="under the flower pot")

        def stream_complete(self, prompt: str, formatted: bool = False, **_: Any) -> Any:
            raise AssertionError("not asked to stream")

    retriever = LlamaRetriever(memory, similarity_top_k=2, user_id="ana")
    answer = RetrieverQueryEngine.from_args(retriever, llm=Scripted()).query("where is the spare key?")
    assert str(answer) == "under the flower pot"
    assert answer.source_nodes[0].metadata["user_id"] == "ana"
    (prompt,) = prompts
    assert "room: porch" in prompt
    assert "event_at: " in prompt
    assert not [name for name in ("user_id", "kind", "role", "valid_from") if f"{name}: " in prompt]


# OpenAI Agents SDK

ITEMS: list[Any] = [
    {"role": "user", "content": "My violin lessons are on Tuesday"},
    {"type": "function_call", "call_id": "1", "name": "calendar", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "1", "output": "free"},
    {
        "type": "message",
        "id": "m1",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": "Noted", "annotations": []}],
    },
]


def test_agents_sessions(memory: Memory) -> None:
    async def main() -> None:
        session = RemanenceSession("monday", memory, user_id="ana")
        assert isinstance(session, Session)
        assert await session.pop_item() is None
        await session.add_items([])
        await session.add_items(ITEMS[:2])
        await session.add_items(ITEMS[2:])
        assert await session.get_items() == ITEMS
        assert await session.get_items(2) == ITEMS[2:]
        assert await session.get_items(0) == []
        assert await session.pop_item() == ITEMS[3]
        assert await session.get_items() == ITEMS[:3]
        other = RemanenceSession("tuesday", memory, session_settings=SessionSettings(limit=1), user_id="ana")
        await other.add_items(ITEMS)
        assert await other.get_items() == ITEMS[3:]
        assert await other.get_items(limit=4) == ITEMS
        await session.clear_session()
        assert await session.get_items() == []
        assert await other.get_items(4) == ITEMS

    asyncio.run(main())


def test_agents_sessions_are_remembered(memory: Memory) -> None:
    asyncio.run(RemanenceSession("monday", memory, user_id="ana").add_items(ITEMS))
    found = memory.search("when are the violin lessons?", user_id="ana")["results"][0]
    assert (found["memory"], found["run_id"]) == ("My violin lessons are on Tuesday", "monday")


def test_agents_sessions_pop_each_item_once(memory: Memory) -> None:
    async def main() -> list[Any]:
        session = RemanenceSession("monday", memory, user_id="ana")
        await session.add_items([{"role": "user", "content": f"line {number}"} for number in range(8)])
        return await asyncio.gather(*(session.pop_item() for _ in range(10)))

    popped = [item["content"] for item in asyncio.run(main()) if item is not None]
    assert sorted(popped) == [f"line {number}" for number in range(8)]


@pytest.mark.parametrize("items", [["text"], [{"role": "user", "content": "x", "extra": object()}]])
def test_agents_items_that_cannot_be_kept_are_refused_as_a_whole(memory: Memory, items: list[Any]) -> None:
    session = RemanenceSession("monday", memory, user_id="ana")
    with pytest.raises(InvalidInput):
        asyncio.run(session.add_items([*ITEMS, *items]))
    assert asyncio.run(session.get_items()) == []


def test_what_is_too_large_to_be_kept_is_named_with_the_way_out(memory: Memory) -> None:
    picture = {
        "role": "user",
        "content": [{"type": "input_image", "image_url": "data:image/png;base64," + "A" * 2**20}],
    }
    session = RemanenceSession("monday", memory, user_id="ana")
    items: list[Any] = [picture]
    with pytest.raises(InvalidInput, match=r"a message takes 1,04\d,\d{3} bytes .* by their address"):
        asyncio.run(session.add_items(items))
    assert asyncio.run(session.get_items()) == []


def test_an_agent_runs_on_a_session(memory: Memory) -> None:
    from agents import Agent, Model, ModelResponse, Runner, Usage, set_tracing_disabled
    from openai.types.responses import ResponseOutputMessage, ResponseOutputText

    seen: list[int] = []

    class Scripted(Model):
        """Says how many items it was shown."""

        async def get_response(self, system_instructions: Any, input: Any, *_: Any, **__: Any) -> ModelResponse:
            seen.append(len(input))
            text = ResponseOutputText(text=f"answer {len(seen)}", type="output_text", annotations=[])
            said = ResponseOutputMessage(
                id=f"m{len(seen)}", content=[text], role="assistant", status="completed", type="message"
            )
            return ModelResponse(output=[said], usage=Usage(), response_id=None)

        def stream_response(self, *_: Any, **__: Any) -> Any:
            raise AssertionError("not asked to stream")

    async def main() -> list[Any]:
        session = RemanenceSession("monday", memory, user_id="ana")
        agent: Agent[Any] = Agent(name="desk", model=Scripted())
        for question in ("where do I live?", "and where do I work?"):
            await Runner.run(agent, question, session=session)
        return await session.get_items()

    set_tracing_disabled(True)
    items = asyncio.run(main())
    assert seen == [1, 3]
    assert [item["role"] for item in items] == ["user", "assistant", "user", "assistant"]


# Without the packages

PROBE = """
import importlib, sys
for name in ("langgraph.store.base", "langchain_core", "llama_index.core", "agents"):
    sys.modules[name] = None
from remanence.core.errors import MissingExtra
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except MissingExtra as error:
        assert isinstance(error, ImportError) and "remanence[peers]" in str(error), error
    else:
        raise AssertionError(name)
importlib.import_module("remanence.compat.mem0")
importlib.import_module("remanence.compat.mem0_client")
assert not {name.partition(".")[0] for name in sys.modules} & {"mem0", "openai", "pydantic"}
"""


def test_a_missing_package_is_told_with_its_extra(tmp_path: Path) -> None:
    modules = [
        *(f"remanence.compat.{name}" for name in ("langgraph", "langgraph_index", "langchain")),
        *(f"remanence.compat.{name}" for name in ("llama_index", "openai_agents")),
        "remanence.conformance.langgraph",
    ]
    subprocess.run([sys.executable, "-c", PROBE, *modules], check=True, cwd=tmp_path)
