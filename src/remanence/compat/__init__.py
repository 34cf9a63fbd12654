"""Other people's interfaces over the runtime: what already runs on mem0, LangGraph and the rest runs on Remanence.

- `mem0`: `Memory` and `AsyncMemory`, with the call shapes of mem0 1.x and 2.x, and `mem0_client`: `MemoryClient` and
  `AsyncMemoryClient`, as for mem0's hosted service; they need no other package.
- `langgraph`: `RemanenceStore`, a `BaseStore` for LangGraph and LangMem.
- `langchain`: a retriever and a chat message history.
- `llama_index`: a retriever.
- `openai_agents`: a session of the OpenAI Agents SDK.
- `hugging_face`: sequence mechanisms as a language model of transformers.

Each module imports the package whose interface it offers when it is imported itself, and no other one; a package that
is not installed is a `MissingExtra` that names the extra: `torch` for `hugging_face`, `peers` for the others.
"""

from __future__ import annotations
