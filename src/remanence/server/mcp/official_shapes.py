"""Arguments and answers of the official memory server's tools. Fields of ours are optional, and absent where unused."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from remanence.core.errors import InvalidInput
from remanence.server.mcp.graph import Entity, Relation
from remanence.server.mcp.options import LEAST_TOKENS, MOST_TOKENS
from remanence.server.mcp.tools import Arguments, Listed, Words

__all__ = [
    "AddObservations",
    "Added",
    "CreateEntities",
    "CreateRelations",
    "DeleteEntities",
    "DeleteObservations",
    "Done",
    "EntityShape",
    "GraphShape",
    "NewEntities",
    "NewRelations",
    "OpenNodes",
    "ReadGraph",
    "RelationShape",
    "Results",
    "SearchNodes",
]

QUERY: Final = 2048


class _Loose(Arguments):
    """What the official server ignores is ignored."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class EntityShape(_Loose):
    """An entity."""

    name: str = Field(description="The name of the entity")
    entity_type: str = Field(alias="entityType", description="The type of the entity")
    observations: Words = Field(description="What is known of the entity, one statement each")

    def plain(self) -> Entity:
        """As the graph takes it. Raises `InvalidInput` without a name."""
        if not self.name.strip():
            raise InvalidInput("an entity needs a name; nothing was stored")
        return Entity(self.name, self.entity_type, tuple(dict.fromkeys(self.observations)))

    @classmethod
    def of(cls, entity: Entity) -> EntityShape:
        """An entity to show, whatever its name is."""
        return cls.model_construct(name=entity.name, entity_type=entity.type, observations=list(entity.observations))


class RelationShape(_Loose):
    """A relation, in active voice."""

    start: str = Field(alias="from", description="The name of the entity where the relation starts")
    end: str = Field(alias="to", description="The name of the entity where the relation ends")
    relation_type: str = Field(alias="relationType", description="The type of the relation")

    def plain(self) -> Relation:
        """As the graph takes it. Raises `InvalidInput` without a type."""
        if not self.relation_type.strip():
            raise InvalidInput("a relation needs a relationType; nothing was stored")
        return self.start, self.end, self.relation_type

    @classmethod
    def of(cls, relation: Relation) -> RelationShape:
        """A relation to show, whatever its ends are."""
        start, end, kind = relation
        return cls.model_construct(start=start, end=end, relation_type=kind)


class CreateEntities(_Loose):
    """Arguments of create_entities."""

    entities: Annotated[list[EntityShape], Listed]


class CreateRelations(_Loose):
    """Arguments of create_relations and delete_relations."""

    relations: Annotated[list[RelationShape], Listed]


class Addition(_Loose):
    """Observations to add to one entity."""

    entity_name: str = Field(alias="entityName", description="The name of the entity to add to")
    contents: Words = Field(description="The observations to add")


class AddObservations(_Loose):
    """Arguments of add_observations."""

    observations: Annotated[list[Addition], Listed]


class DeleteEntities(_Loose):
    """Arguments of delete_entities."""

    entity_names: Words = Field(alias="entityNames", description="The names of the entities to delete")


class Deletion(_Loose):
    """Observations to delete from one entity."""

    entity_name: str = Field(alias="entityName", description="The name of the entity")
    observations: Words = Field(description="The observations to delete")


class DeleteObservations(_Loose):
    """Arguments of delete_observations."""

    deletions: Annotated[list[Deletion], Listed]


class ReadGraph(_Loose):
    """Arguments of read_graph."""

    max_tokens: int | None = Field(None, ge=LEAST_TOKENS, le=MOST_TOKENS, description="Most tokens of the answer")
    cursor: str | None = Field(None, description="The next_cursor of the answer before, for what did not fit")


class SearchNodes(ReadGraph):
    """Arguments of search_nodes."""

    query: str = Field(max_length=QUERY, description="Words to look for in names, types and observations")


class OpenNodes(ReadGraph):
    """Arguments of open_nodes."""

    names: Words = Field(description="The names of the entities to show")


class NewEntities(BaseModel):
    """Answer of create_entities: those that were not there yet."""

    entities: list[EntityShape]
    truncated: bool | None = Field(None, description="Whether more was stored than is shown here")


class NewRelations(BaseModel):
    """Answer of create_relations: those that were not there yet."""

    relations: list[RelationShape]
    truncated: bool | None = Field(None, description="Whether more was stored than is shown here")


class Added(BaseModel):
    """What was added to one entity."""

    entityName: str  # noqa: N815
    addedObservations: list[str]  # noqa: N815


class Results(BaseModel):
    """Answer of add_observations."""

    results: list[Added]
    truncated: bool | None = Field(None, description="Whether more was stored than is shown here")


class Done(BaseModel):
    """Answer of the tools that delete."""

    success: bool
    message: str


class GraphShape(BaseModel):
    """Answer of the tools that read: entities and the relations that touch them."""

    entities: list[EntityShape]
    relations: list[RelationShape]
    next_cursor: str | None = Field(None, description="Pass it as cursor to see what did not fit")
    truncated: bool | None = Field(None, description="Whether an observation longer than the budget was cut")
    notice: str | None = Field(None, description="What the reader should know, such as damaged lines in the file")
