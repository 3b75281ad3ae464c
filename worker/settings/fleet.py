"""The settings of the fleet: its namespace, and the events that it takes in."""

from __future__ import annotations

import re
from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from tasks.events.event_type import EventTypes
from tasks.namespace import DEFAULT_NAMESPACE, NAMESPACE_PATTERN, Namespace


class FleetSettings(BaseSettings):
    """Which fleet this is, and which events mean complete.

    Once a worker has started, the stream and the types stand in the fleet's policy in the store, and commands go by
    that.
    """

    namespace: str = Field(
        DEFAULT_NAMESPACE.name,
        description="The fleet's name; one store carries several fleets.",
    )
    events_stream: str = Field(
        DEFAULT_NAMESPACE.stream,
        min_length=1,
        max_length=200,
        description="The Redis stream that events come on.",
    )
    event_types: str | None = Field(
        None,
        max_length=10_000,
        description="Event types that mean complete, with commas, `*` for any text; unset: by the last word.",
    )
    cancel_event_types: str | None = Field(
        None,
        max_length=10_000,
        description="Event types that cancel: their group is held; like the types above; unset: none.",
    )

    @field_validator("namespace")
    @classmethod
    def _names_a_fleet(cls, name: str) -> str:
        if not re.match(NAMESPACE_PATTERN, name):
            raise ValueError("needs 1 to 64 characters of A-Z a-z 0-9 _ - .")
        return name

    @field_validator("events_stream")
    @classmethod
    def _can_be_seen(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("holds a line break or another character that cannot be seen, so it is another name")
        return name

    @field_validator("event_types", "cancel_event_types")
    @classmethod
    def _names_types(cls, text: str | None) -> str | None:
        if text is not None:
            EventTypes.of(text)
        return text

    @model_validator(mode="after")
    def _stream_of_the_fleet(self) -> Self:
        if "events_stream" not in self.model_fields_set:
            self.events_stream = self.fleet.stream
        return self

    @property
    def fleet(self) -> Namespace:
        """The names of the fleet's keys, stream, consumer group and queues."""
        return Namespace(self.namespace)

    @property
    def accepted_types(self) -> EventTypes:
        """The types of events that say that a group is complete, and those that cancel."""
        types = EventTypes.of(self.event_types) if self.event_types else EventTypes()
        return types.with_cancelling(self.cancel_event_types) if self.cancel_event_types else types
