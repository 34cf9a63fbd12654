"""Toolboxes in the terms of the protocol's library: lists, calls, resources, and news of changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import remanence
from remanence.core.errors import RemanenceError
from remanence.server.access import Principal
from remanence.server.errors import describe
from remanence.server.mcp.budget import clean
from remanence.server.mcp.tools import Tool, Toolbox, dumped
from remanence.server.service import Service

if TYPE_CHECKING:
    import mcp_types as types
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel.server import Server

    Context = ServerRequestContext[dict[str, Any]]

__all__ = ["NAME", "server"]

NAME: Final = "remanence"
ERROR: Final = "remanence/error"
"""Key under which an error says in `_meta` what kind it is, for programs."""
LOG: Final = logging.getLogger("remanence.server.mcp")
_MESSAGE: Final = 600


def server(
    box: Toolbox, service: Service, who: Callable[[Any], Principal], *, subscriptions: bool
) -> Server[dict[str, Any]]:
    """A server of the protocol's library.

    Args:
        box: what to offer.
        service: runs tools in its threads and ends those of revoked keys.
        who: from the HTTP request of a message, None over stdio, to who sent it.
        subscriptions: whether a connection lasts, so that clients of before 2026 can subscribe to resources.

    """
    import mcp_types as types
    from mcp.server.lowlevel.server import Server
    from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ResourceUpdated
    from mcp.shared.exceptions import MCPError

    tools = {tool.name: tool for tool in box.tools}
    resources = {resource.uri: resource for resource in box.resources}
    listed = [_described(tool) for tool in box.tools]
    bus = InMemorySubscriptionBus()
    subscribed: set[str] = set()

    async def list_tools(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=listed)

    async def call_tool(ctx: Context, params: types.CallToolRequestParams) -> types.CallToolResult:
        tool = tools.get(params.name)
        if tool is None:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown tool: {params.name[:80]!r}")
        arguments = params.arguments or {}
        try:
            principal = box.admit(who(ctx.request))
            principal.require(tool.right)
            answer = await service.run(principal, lambda: tool.call(arguments, principal), writes=not tool.read_only)
        except RemanenceError as error:
            return _failed(error)
        except Exception as error:
            # What it says may hold words of somebody's memory, and is for whoever runs the server.
            LOG.error("tool %s failed: %s", tool.name, type(error).__name__, exc_info=error)
            return _failed(RemanenceError())
        if answer.changed:
            for uri in resources:
                await bus.publish(ResourceUpdated(uri=uri))
                if uri in subscribed:
                    await ctx.session.send_resource_updated(uri)
        text = types.TextContent(type="text", text=clean(answer.text))
        return types.CallToolResult(content=[text], structured_content=dumped(answer.content))

    async def list_resources(ctx: Context, params: types.PaginatedRequestParams | None) -> types.ListResourcesResult:
        return types.ListResourcesResult(
            resources=[
                types.Resource(uri=r.uri, name=r.name, title=r.title, description=r.description, mime_type=r.mime)
                for r in box.resources
            ]
        )

    async def list_templates(
        ctx: Context, params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        return types.ListResourceTemplatesResult(resource_templates=[])

    async def read_resource(ctx: Context, params: types.ReadResourceRequestParams) -> types.ReadResourceResult:
        uri = str(params.uri)
        resource = resources.get(uri)
        if resource is None:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown resource: {uri[:200]!r}")
        try:
            principal = box.admit(who(ctx.request))
            principal.require("read")
            text = await service.run(principal, lambda: resource.read(principal))
        except RemanenceError as error:
            raise MCPError(code=types.INTERNAL_ERROR, message=_told(error)[1]) from error
        contents = types.TextResourceContents(uri=uri, text=clean(text), mime_type=resource.mime)
        return types.ReadResourceResult(contents=[contents])

    async def subscribe(ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        if str(params.uri) not in resources:
            raise MCPError(code=types.INVALID_PARAMS, message=f"Unknown resource: {str(params.uri)[:200]!r}")
        subscribed.add(str(params.uri))
        return types.EmptyResult()

    async def unsubscribe(ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        subscribed.discard(str(params.uri))
        return types.EmptyResult()

    more: dict[str, Any] = {}
    if box.resources:
        more |= {
            "on_list_resources": list_resources,
            # There are none, but whoever lists resources may ask; clients take "method not found" for a fault.
            "on_list_resource_templates": list_templates,
            "on_read_resource": read_resource,
            "on_subscriptions_listen": ListenHandler(bus),
        }
        if subscriptions:
            more |= {"on_subscribe_resource": subscribe, "on_unsubscribe_resource": unsubscribe}
    return Server(
        NAME,
        version=remanence.__version__,
        title="Remanence",
        instructions=box.instructions,
        get_tool_input_schema=lambda name: None if name not in tools else tools[name].arguments.model_json_schema(),
        on_list_tools=list_tools,
        on_call_tool=call_tool,
        **more,
    )


def _described(tool: Tool) -> types.Tool:
    import mcp_types as types

    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.arguments.model_json_schema(by_alias=True),
        output_schema=tool.answer.model_json_schema(by_alias=True),
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.read_only,
            destructive_hint=tool.destructive,
            idempotent_hint=tool.idempotent,
            open_world_hint=False,
        ),
    )


def _told(error: RemanenceError) -> tuple[dict[str, Any], str]:
    """What kind of error it is, and one bounded line about it."""
    _, detail, _ = describe(error)
    message = clean(" ".join(str(detail["message"]).split()))
    if len(message) > _MESSAGE:
        message = f"{message[:_MESSAGE]}…"
    return {**detail, "message": message}, f"{detail['type']}: {message}"


def _failed(error: RemanenceError) -> types.CallToolResult:
    """An error for the model to read. Its kind goes into `_meta`, as data of an error need not fit a tool's schema."""
    import mcp_types as types

    detail, line = _told(error)
    if detail["type"].startswith("store_") or detail["type"] == "internal":
        LOG.warning("%s: %s", type(error).__name__, error)
    content = types.TextContent(type="text", text=line)
    return types.CallToolResult(content=[content], is_error=True, _meta={ERROR: detail})
