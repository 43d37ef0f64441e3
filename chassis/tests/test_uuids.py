"""UUIDs made quickly."""

import copy
import pickle
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from galaxy_chassis.uuids import uuid_array, uuid_of


@given(st.uuids())
def test_it_is_the_uuid_that_the_class_makes(expected: UUID) -> None:
    """Equality, order, hash, text, parts, copies and pickles are those of the standard library's."""
    made = uuid_of(expected.int)
    assert type(made) is UUID
    assert made == expected and hash(made) == hash(expected) and made <= expected
    assert (str(made), repr(made), made.bytes, made.fields) == (
        str(expected),
        repr(expected),
        expected.bytes,
        expected.fields,
    )
    assert made.is_safe is expected.is_safe
    assert pickle.loads(pickle.dumps(made)) == copy.deepcopy(made) == expected


@given(st.lists(st.uuids()))
def test_an_array_has_every_uuid_in_order(expected: list[UUID]) -> None:
    """It is a PostgreSQL array's text: braces, commas, and UUIDs without hyphens."""
    text = uuid_array(expected)
    assert (text[0], text[-1]) == ("{", "}")
    assert [UUID(each) for each in text[1:-1].split(",") if each] == expected
