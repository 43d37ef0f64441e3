"""Which passwords are refused."""

import pytest

from galaxy_admin.strength import check_password

WEAK = [
    "passwordpassword",
    "PasswordPassword",
    "123456789012",
    "aaaaaaaaaaaa",
    "abcabcabcabc",
    "abcabcabcabca",
    "abcdefghijkl",
    "lkjihgfedcba",
    "qwertyuiopas",
    "Qwertzuiop12",
    "1234qwer5678",
    "1q2w3e4r5t6y",
    "administrator",
    "ababababbbaa",
]


@pytest.mark.parametrize("password", WEAK)
def test_guessed_first(password: str) -> None:
    """Common ones, repetitions and rows of keys are refused, whatever their case."""
    with pytest.raises(ValueError, match="guessed first"):
        check_password(password, "root")


@pytest.mark.parametrize(
    "password", ["correct horse battery", "the first password", "made by root once", "kX7#pQ2!vR9z", "сложный пароль 7"]
)
def test_others_are_taken(password: str) -> None:
    """A phrase or a random text is accepted, spaces and other scripts included."""
    check_password(password, "ada")


@pytest.mark.parametrize(("password", "says"), [("kX7#pQ2!vR9", "12 characters"), ("x kX7#ADA pQ2!vR9", "user name")])
def test_short_ones_and_the_name(password: str, says: str) -> None:
    """Each fault says what is wrong."""
    with pytest.raises(ValueError, match=says):
        check_password(password, "Ada")
