"""Models of requests and answers, and lists cut into pages."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, Self, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from sqlalchemy import Row, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from galaxy_chassis.docstrings import attribute_docstrings

T = TypeVar("T")

MAX_PAGE = 1_000_000
"""Highest page number: far past any list, and its offset fits a bigint."""
MAX_PAGE_SIZE = 200
"""Most items of one page (SPEC K-9)."""


class Model(BaseModel):
    """Base of request and answer models.

    Unknown fields are refused. A body is validated strictly, so a number is never taken for a string. Times are
    fields of the type `Timestamp`; a plain `datetime` is refused when the class is made. The doc string after a
    field describes it in the API's documentation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    @classmethod
    def of(cls, source: object) -> Self:
        """Make a model of an object, such as a row, from the attributes that are fields of the model."""
        return cls.model_validate(source, from_attributes=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Describe each field by the doc string that follows it."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        docs = attribute_docstrings(cls)
        for name in docs.keys() & cls.model_fields.keys():
            field = cls.model_fields[name]
            for shown in (name, field.alias, field.validation_alias, field.serialization_alias):
                if isinstance(shown, str) and shown in properties:
                    properties[shown].setdefault("description", docs[name])
        return schema

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        for name, field in cls.model_fields.items():
            if _mentions(field.annotation, datetime):
                raise TypeError(
                    f"{cls.__qualname__}.{name}: declare a time as Timestamp, not datetime: it demands an offset and "
                    "is written in UTC"
                )


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))


class Paging(Model):
    """The query parameters of a list; the base of a list's own filters."""

    page: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 1
    """Number of the page, from 1."""
    page_size: Annotated[int, Field(ge=1, le=MAX_PAGE_SIZE)] = 50
    """How many items a page has."""

    def page_of(self, items: Sequence[T], total: int) -> "Page[T]":
        """Return the requested page: its items, of `total` on all pages."""
        return Page(items=items, page=self.page, page_size=self.page_size, total=total)


class Page(Model, Generic[T]):
    """One page of a list."""

    items: Sequence[T]
    """The items of this page; none on a page past the end."""
    page: int
    """Number of this page, from 1."""
    page_size: int
    """How many items a page has at most."""
    total: int
    """How many items there are on all pages."""


async def fetch_page(
    connection: AsyncConnection, statement: Select[Any], paging: Paging
) -> tuple[Sequence[Row[*tuple[Any, ...]]], int]:
    """Return the rows of one page and how many rows there are in all, in one round trip.

    `statement` is the whole list: ordered so that no two rows tie, without DISTINCT or LIMIT. The rows have one more
    column, the last, with the total. Only a page past the end needs a second round trip.
    """
    offset = (paging.page - 1) * paging.page_size
    counted = statement.add_columns(func.count().over().label("total_of_all_pages"))
    rows = (await connection.execute(counted.limit(paging.page_size).offset(offset))).all()
    if rows:
        return rows, int(rows[0][-1])
    if offset == 0:
        return rows, 0
    total = select(func.count()).select_from(statement.order_by(None).subquery())
    return rows, int((await connection.execute(total)).scalar_one())
