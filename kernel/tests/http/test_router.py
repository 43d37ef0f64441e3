"""The router: which target a method and a path find."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from galaxy_kernel.http.router import NoSuchMethod, NoSuchPath, Router, parameters_of

WORDS = st.sampled_from(["a", "b", "c", "me", "x.y", "%2F", ".."])
SEGMENTS = st.one_of(st.sampled_from(["a", "b", "c", "me"]), st.sampled_from(["{x}", "{y}", "{z}"]))
PATHS = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))


def matches(template: str, path: str) -> list[str] | None:
    """Return the parameters' values where the path fits the template: the plain definition."""
    one, other = template.split("/"), path.split("/")
    if len(one) != len(other):
        return None
    values = []
    for expected, given_ in zip(one, other, strict=True):
        if expected.startswith("{"):
            if not given_:
                return None
            values.append(given_)
        elif expected != given_:
            return None
    return values


def shape(template: str) -> tuple[bool, ...]:
    """Return which segments are parameters: of two templates that fit, the lesser shape is preferred."""
    return tuple(part.startswith("{") for part in template.split("/"))


@given(st.sets(PATHS, max_size=8), st.lists(st.one_of(WORDS, st.just("")), min_size=1, max_size=4))
def test_a_path_finds_the_template_with_the_earliest_exact_segments(templates: set[str], parts: list[str]) -> None:
    """For any templates, the one found is the best by definition, with its parameters' values."""
    router: Router[str] = Router()
    kept = {template for template in templates if router.add("GET", template, template) is None}
    path = "/" + "/".join(parts)
    fitting = sorted((template for template in kept if matches(template, path) is not None), key=shape)
    if not fitting:
        with pytest.raises(NoSuchPath):
            router.find("GET", path)
    else:
        assert router.find("GET", path) == (fitting[0], matches(fitting[0], path))


@given(st.text(max_size=30))
def test_any_text_as_a_path_is_found_or_not_but_never_an_error(path: str) -> None:
    """A path of any characters is looked up without any other exception."""
    router: Router[int] = Router()
    router.add("GET", "/a/{x}", 1)
    try:
        assert router.find("GET", path)[1] == [path[3:]]
    except NoSuchPath:
        assert not path.startswith("/a/") or "/" in path[3:] or not path[3:]


def test_a_path_without_the_method_names_those_it_has() -> None:
    """NoSuchMethod has the allowed methods, HEAD beside GET."""
    router: Router[int] = Router()
    router.add("GET", "/a/{x}", 1)
    router.add("PUT", "/a/{y}", 2)
    with pytest.raises(NoSuchMethod) as caught:
        router.find("DELETE", "/a/7")
    assert caught.value.allowed == ("GET", "HEAD", "PUT")


def test_head_finds_what_get_finds() -> None:
    """HEAD is served wherever GET is."""
    router: Router[int] = Router()
    router.add("GET", "/a", 1)
    assert router.find("HEAD", "/a") == (1, [])


def test_a_trailing_slash_is_another_path() -> None:
    """`/a/` is not `/a`, and an empty segment is not a parameter."""
    router: Router[int] = Router()
    router.add("GET", "/a", 1)
    router.add("GET", "/a/{x}", 2)
    with pytest.raises(NoSuchPath):
        router.find("GET", "/a/")


def test_the_second_target_of_one_place_is_reported_and_not_taken() -> None:
    """Adding to a taken place returns its target, whatever the parameters are called."""
    router: Router[str] = Router()
    assert router.add("GET", "/a/{x}", "first") is None
    assert router.add("GET", "/a/{y}", "second") == "first"
    assert router.find("GET", "/a/1")[0] == "first"


@pytest.mark.parametrize("path", ["a", "/", "/a/", "/a//b", "/{A}", "/{x}y", "/a b", "/{x}/{x}", "/a?b"])
def test_a_path_that_is_not_well_formed_is_refused(path: str) -> None:
    """Templates are plain words and whole-segment parameters."""
    with pytest.raises(ValueError):
        parameters_of(path)


def test_the_parameters_of_a_path_come_in_order() -> None:
    """Names are returned from left to right."""
    assert parameters_of("/games/{game_id}/turns/{turn}") == ("game_id", "turn")
