"""The shared formats: addresses, languages, time zones, names."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from galaxy_contracts.formats import parse_address, parse_language, parse_name, parse_time_zone

ASCII_LOCALS = st.from_regex(r"[a-z0-9]([a-z0-9+_-]{0,20}[a-z0-9])?", fullmatch=True)
LABELS = st.from_regex(r"[a-z]([a-z0-9]{0,12})?", fullmatch=True)


@pytest.mark.parametrize("address", ["player@example.test", "a@localhost", "x@bücher.example", "почта@пример.рф"])
def test_address_accepts(address: str) -> None:
    """Test domains, single-label domains and internationalised addresses are valid."""
    assert parse_address(address).typed == address


@pytest.mark.parametrize(
    "address",
    [
        "", "@", "a", "a@", "@b.test", "a b@c.test", "a@b.test\r\nBcc: c@d.test", "a@b.test\n", "\ra@b.test",
        "a@b\0.test", "a@@b.test", "a@b@c.test", "a@b..test", "a@.test", "a@b.test.", "a@-b.test", "a@x_y.test",
        "Bob <a@b.test>", '"a b"@c.test', "a@[127.0.0.1]", "a\u202e@b.test", "a@b.test " , "\ud800@b.test",
        "a" * 250 + "@b.test", "a" * 65 + "@b.test", "ä" * 33 + "@b.test", "=?utf-8?q?x=0D=0ABcc=3A_eve?=@b.test",
        "a@ab--cd.test", "a@b\u00adc.test", "a@1.xn--4dbc.test",
        "a@" + "b" * 64 + ".test", "ü" * 120 + "@" + "bücher." * 8 + "test",
    ],
)  # fmt: skip
def test_address_refuses(address: str) -> None:
    """Anything but a single address, and text that could end a header, is refused without being quoted."""
    with pytest.raises(ValueError) as refused:  # the message is checked below
        parse_address(address)
    assert len(address) < 4 or address not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Player@Example.TEST", "player@example.test"),
        ("x@Bücher.example", "x@xn--bcher-kva.example"),
        ("x@BÜCHER.example", "x@XN--BCHER-KVA.example"),
        ("e\u0301@x.test", "\u00c9@x.test"),
        ("a@x\u3002test", "a@X.test"),
    ],
)
def test_address_folds(one: str, other: str) -> None:
    """Two spellings of one mailbox are one address."""
    assert parse_address(one).folded == parse_address(other).folded


@pytest.mark.parametrize(("one", "other"), [("straße@x.test", "strasse@x.test"), ("ſam@x.test", "sam@x.test")])
def test_address_keeps_mailboxes_apart(one: str, other: str) -> None:
    """Full case folding is not used: it would open one mailbox's account to the holder of another."""
    assert parse_address(one).folded != parse_address(other).folded


@given(ASCII_LOCALS, st.lists(LABELS, min_size=1, max_size=3), st.randoms())
def test_address_case_never_matters(local: str, labels: list[str], random: object) -> None:
    """However the case is mixed, the folded address is the same."""
    address = f"{local}@{'.'.join(labels)}"
    mixed = "".join(random.choice((each.upper(), each)) for each in address)  # type: ignore[attr-defined]
    assert parse_address(mixed).folded == parse_address(address).folded == address


ANYTHING = st.one_of(
    st.emails(),
    st.text(max_size=60),
    st.builds("{}@{}".format, st.text(max_size=30), st.text(max_size=30)),
    st.text(alphabet="ab0@.-+=?_\"'<>(),:;[]\\ \t\r\n\x00\x85\xad\u200c\u200d\u2028äßİΣא٠", max_size=40),
    st.builds(lambda local, label: f"{local}@{'.'.join([label] * 4)}", ASCII_LOCALS, st.text("aäא中", max_size=40)),
)
"""Addresses, near misses, and other text."""


@given(ANYTHING)
@example("İ" * 30 + "@x.test")
@example("x@xn--mgba3gch31f060k.com")
@example("a@b\u00adc.test")
def test_address_total(text: str) -> None:
    """Any text is refused with ValueError, or each of its forms passes too, is one line and means the same mailbox."""
    try:
        address = parse_address(text)
    except ValueError:
        return
    for form in (address.typed, address.folded, address.envelope, address.readable):
        again = parse_address(form)
        assert again.folded == address.folded
        assert form.isprintable() and not set(form) & set(' <>"(),:;[]\\') and form.count("@") == 1
        assert len(form.encode()) <= 254 and "=?" not in form
        assert unicodedata.is_normalized("NFC", form)
    assert parse_address(address.readable).envelope == parse_address(address.typed).envelope == address.envelope
    assert address.envelope.rpartition("@")[2].isascii()


@pytest.mark.parametrize(
    ("typed", "envelope", "readable"),
    [
        ("Ada@Example.COM", "Ada@example.com", "Ada@example.com"),
        ("x@Bücher.example", "x@xn--bcher-kva.example", "x@bücher.example"),
        ("x@XN--BCHER-KVA.example", "x@xn--bcher-kva.example", "x@bücher.example"),
        ("ädä@straße.example", "ädä@xn--strae-oqa.example", "ädä@straße.example"),
    ],
)
def test_address_forms(typed: str, envelope: str, readable: str) -> None:
    """The local part is kept as it is; the domain goes to the relay in ASCII and is shown in Unicode."""
    address = parse_address(typed)
    assert (address.typed, address.envelope, address.readable) == (typed, envelope, readable)


@pytest.mark.parametrize("address", ["a@b.test\r\nBcc: c@d.test", "a\n@b.test", "\ra@b.test"])
def test_address_says_that_line_breaks_are_none(address: str) -> None:
    """CR and LF are refused by name."""
    with pytest.raises(ValueError, match=r"^must not contain CR or LF"):
        parse_address(address)


@given(st.characters(min_codepoint=0x80))
def test_address_no_foreign_character_becomes_ascii(character: str) -> None:
    """No letter outside ASCII folds to one inside, unless Unicode calls the two the same character."""
    try:
        folded = parse_address(f"x{character}x@x.test").folded
    except ValueError:
        return
    assert not folded.isascii() or unicodedata.normalize("NFC", character).isascii()


@pytest.mark.parametrize(
    ("given_tag", "kept"),
    [("en", "en"), ("DE-at", "de-AT"), ("zh-hant-tw", "zh-Hant-TW"), ("es-419", "es-419"), ("de-1901", "de-1901")],
)
def test_language_is_kept_in_its_usual_case(given_tag: str, kept: str) -> None:
    """A well-formed tag is stored as BCP 47 writes it."""
    assert parse_language(given_tag) == kept


@pytest.mark.parametrize("tag", ["", "e", "english", "de_AT", "en-", "-en", "en--US", "en\n", "éé", "en-" + "a" * 40])
def test_language_refuses(tag: str) -> None:
    """Anything but a well-formed tag of a registered length is refused."""
    with pytest.raises(ValueError, match="BCP 47"):
        parse_language(tag)


@given(st.text(max_size=40))
def test_language_total(tag: str) -> None:
    """Any text is refused with ValueError or kept in a form that is kept as it is."""
    try:
        kept = parse_language(tag)
    except ValueError:
        return
    assert parse_language(kept) == kept


@pytest.mark.parametrize("name", ["UTC", "Europe/Vienna", "America/Argentina/Buenos_Aires"])
def test_time_zone_accepts(name: str) -> None:
    """Zones of the IANA database are valid."""
    assert parse_time_zone(name) == name


@pytest.mark.parametrize(
    "name", ["", "localtime", "Europe", "europe/vienna", "../etc/passwd", "/etc/localtime", "CEST"]
)
def test_time_zone_refuses(name: str) -> None:
    """Anything but a zone is refused, including paths and the machine's own zone."""
    with pytest.raises(ValueError, match="IANA"):
        parse_time_zone(name)


SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
NEEDED = [
    *("Ada", "Zoë 🚀", "نام\u200cها", "👩\u200d🚀", "O'Brien-Smith (2)", SCOTLAND, f"{SCOTLAND} Mary", FAMILY),
    "می\u200cخواهم",
    "क्\u200dष",
    "\u2764\ufe0f",
    "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f469\U0001f3fd\u200d\u2695\ufe0f",
    "1\ufe0f\u20e3",
    "Phạm Thị Thảo",
    "ก็",
    "한글",
]


@pytest.mark.parametrize("name", NEEDED)
def test_name_accepts(name: str) -> None:
    """Names in any script, with emoji and their joiners, are valid."""
    assert parse_name(f"  {name} ") == unicodedata.normalize("NFC", name)


IGNORABLE = [
    *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180E, 0x180F, 0x200B, 0x200C, 0x200D, 0x200E),
    *(0x202A, 0x202E, 0x2060, 0x2065, 0x206F, 0x3164, 0xFE00, 0xFE0E, 0xFE0F, 0xFEFF, 0xFFA0, 0xFFF0, 0xFFF8, 0x1BCA0),
    *(0x1D173, 0x1D17A, 0xE0001, 0xE0020, 0xE007F, 0xE0100, 0xE01EF, 0xE0FFF, 0x2800, 0x1D159),
]


@pytest.mark.parametrize("code", IGNORABLE, ids=hex)
@pytest.mark.parametrize("name", ["{}", "Admin{}", "{}Admin", "Ad{}min", "Admin {}", "{}{}", "\u0627{} a"])
def test_name_shows_all_of_itself(name: str, code: int) -> None:
    """No two names differ in a character that nobody sees, and none is made of such characters."""
    with pytest.raises(ValueError, match="must"):
        parse_name(name.replace("{}", chr(code)))


@pytest.mark.parametrize(
    "name",
    [
        SCOTLAND[:-1],
        SCOTLAND[1:],
        "\U0001f3f4" + "\U000e0067" * 20 + "\U000e007f",
        "\U0001f3f4\U000e007f",
        "a" + SCOTLAND[1:],
        "Admin1\ufe0f",
        "C+\ufe0f+",
        "C+\u200d+",
        "^\u200d^x",
        "|\ufe0e",
        "$1\ufe0f",
        "\u200d🚀",
        "🚀\u200d",
        "🚀\u200d\u200d🚀",
        "a\u200d🚀",
        "a" + "\u0301" * 79,
        "a" + "\u0316" * 5,
        "a\u20dd\u20dd\u20dd\u20dd\u20dd",
    ],
)
def test_name_refuses_joiners_tags_and_marks_out_of_place(name: str) -> None:
    """Joiners join two characters, tags end a flag, and a letter carries four marks at most."""
    with pytest.raises(ValueError, match="must"):
        parse_name(name)


@given(st.text(max_size=20))
def test_name_total(name: str) -> None:
    """Any text is refused with ValueError or kept in a form that is kept as it is."""
    try:
        kept = parse_name(name)
    except ValueError:
        return
    assert parse_name(kept) == kept


@pytest.mark.parametrize("name", ["", " ", "\u200d", "a\nb", "a\x00b", "a\u202eb", "a\u2028b", "\u00ad", "a\u200bb"])
def test_name_refuses(name: str) -> None:
    """Names that break lines, turn directions or show nothing are refused."""
    with pytest.raises(ValueError, match="must"):
        parse_name(name)
