"""Templates: found in their owners' packages, compiled at boot, rendered at enqueue (SPEC M-7).

A kind `auth.sign_in_code` has `templates/sign_in_code.<language>.txt`, whose first line is `Subject: …`, and
`templates/sign_in_code.<language>.html`, which extends this package's `layout.html`. Both are Jinja2; HTML is escaped,
and a missing parameter is an error, never an empty place in a mail.
"""

import functools
import re
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from types import CodeType
from typing import Any

import jinja2
from jinja2 import meta, nodes

from galaxy_contracts.mail import MailKind
from galaxy_mail.domain import Rendered, check_subject, scrub
from galaxy_mail.errors import RenderError, TemplateError

_SUBJECT = "Subject:"
_LAYOUT = "galaxy_mail"
_AROUND = frozenset(("subject", "language", "sender_name", "unsubscribe_url", "unsubscribe_words"))
"""The variables that every template has besides the kind's parameters."""
_UNSUBSCRIBE = {"en": "Unsubscribe from these mails", "de": "Diese Mails abbestellen"}
"""The words of the link at the end of a mail, by language."""
_FILE = re.compile(r"(?P<name>[a-z0-9_]+)\.(?P<language>[A-Za-z0-9-]+)\.(?P<format>txt|html)")


@dataclass(frozen=True, slots=True)
class _Compiled:
    """What becomes of a template's source, whatever environment it is in: all have the same options."""

    code: CodeType
    variables: frozenset[str]
    """Those that it reads, also where no example leads.

    Without those that it asks whether they are defined, and those that it sets, which its blocks see too.
    """
    parents: tuple[str, ...]
    """The templates that it extends or includes by name."""


class _Loader(jinja2.ChoiceLoader):
    """Finds templates in packages, and compiles a source once."""

    def load(
        self,
        environment: jinja2.Environment,
        name: str,
        globals: MutableMapping[str, Any] | None = None,  # noqa: A002 - jinja2's name
    ) -> jinja2.Template:
        """Return a template. Raise TemplateNotFound or TemplateSyntaxError."""
        code = _compiled(self.get_source(environment, name)[0], name).code
        return jinja2.Template.from_code(environment, code, globals or {})


@dataclass(frozen=True, slots=True)
class _Templates:
    """One kind in one language."""

    subject: jinja2.Template
    text: jinja2.Template
    html: jinja2.Template


class Renderer:
    """The templates of every registered kind."""

    def __init__(self, sender_name: str) -> None:
        """Set the name that the layout shows as the sender's."""
        self._sender_name = sender_name
        self._kinds: dict[str, tuple[MailKind, dict[str, _Templates]]] = {}
        self._environments: dict[str, jinja2.Environment] = {}

    def register(self, kind: MailKind) -> None:
        """Compile a kind's templates in every language.

        Raise TemplateError, or ValueError for a kind known before.
        """
        if kind.name in self._kinds:
            raise ValueError(
                f"mail kind {kind.name!r} is registered already, by package {self._kinds[kind.name][0].package!r}"
            )
        environment = self._environment(kind.package)
        name = kind.name.rpartition(".")[2]
        languages = sorted(_languages(environment, name) | {kind.default_language})
        compiled = {
            language.lower(): self._compile(environment, kind.package, f"{name}.{language}") for language in languages
        }
        self._kinds[kind.name] = (kind, compiled)
        if kind.example is not None:
            try:
                for language in languages:
                    self._try_out(environment, kind, f"{name}.{language}", language, kind.example)
            except TemplateError:
                del self._kinds[kind.name]
                raise

    def kind(self, name: str) -> MailKind:
        """Return a registered kind. Raise ValueError for an unknown one."""
        if name not in self._kinds:
            raise ValueError(f"kind: {name!r} is not registered; its plugin calls Outbox.register in its lifespan")
        return self._kinds[name][0]

    def render(
        self, kind: str, language: str, parameters: Mapping[str, Any], unsubscribe_url: str | None = None
    ) -> Rendered:
        """Fill in the templates of the recipient's language, else of the language without its region, else the default.

        Raise RenderError when a template fails on the parameters, ValueError for CR or LF in the subject.
        """
        owner, languages = self._kinds[kind]
        chosen = next(each for each in _fallback(language, owner.default_language) if each in languages)
        templates = languages[chosen]
        subject = check_subject(_fill(templates.subject, parameters))
        around = {"subject": subject, "language": chosen, "sender_name": self._sender_name}
        words = _UNSUBSCRIBE[next(each for each in _fallback(chosen, "en") if each in _UNSUBSCRIBE)]
        given = {**around, "unsubscribe_url": unsubscribe_url, "unsubscribe_words": words, **parameters}
        text = _fill(templates.text, given).lstrip("\n")
        return Rendered(
            subject=subject,
            text=text if unsubscribe_url is None else f"{text.rstrip()}\n{words}: {unsubscribe_url}\n",
            html=_fill(templates.html, given),
        )

    def _try_out(
        self, environment: jinja2.Environment, kind: MailKind, stem: str, language: str, example: Mapping[str, Any]
    ) -> None:
        """Fill the example in. Raise TemplateError with plugin, kind, language, template and variable."""
        plugin = kind.name.partition(".")[0]
        where = (
            f"plugin {plugin!r}: mail kind {kind.name!r}, language {language!r}: package {kind.package!r}: templates/"
        )
        text, html = f"{stem}.txt", f"{stem}.html"
        sources = [*((part, text) for part in _parts(environment, text)), (_source(environment, html), html)]
        for source, file in sources:
            if unknown := sorted(_variables(environment, source, file) - set(example) - _AROUND):
                known = ", ".join(sorted(set(example) | _AROUND))
                named = ", ".join(map(repr, unknown))
                raise TemplateError(f"{where}{file}: the variable {named} is undefined: expected one of {known}")
        for unsubscribe_url in (None, "https://example.org/unsubscribe"):
            try:
                self.render(kind.name, language, example, unsubscribe_url)
            except (RenderError, ValueError) as error:
                raise TemplateError(f"{where}{error}, filled in with the kind's examples") from error

    def _environment(self, package: str) -> jinja2.Environment:
        if package not in self._environments:
            try:
                loaders = [jinja2.PackageLoader(package), jinja2.PackageLoader(_LAYOUT)]
            except (ImportError, ValueError) as error:
                raise TemplateError(f"package {package!r}: no folder `templates` in it: {error}") from error
            self._environments[package] = _make_environment(_Loader(loaders))
        return self._environments[package]

    def _compile(self, environment: jinja2.Environment, package: str, stem: str) -> _Templates:
        file = f"{stem}.txt"
        try:
            subject, text = (_template(environment, part, file) for part in _parts(environment, file))
            file = f"{stem}.html"
            return _Templates(subject, text, _with_parents(environment, file))
        except jinja2.TemplateSyntaxError as error:
            raise TemplateError(
                f"package {package!r}: templates/{error.name or file}: line {error.lineno}: {error.message}"
            ) from error
        except (jinja2.TemplateError, UnicodeDecodeError, ValueError) as error:
            missing = isinstance(error, jinja2.TemplateNotFound)
            raise TemplateError(
                f"package {package!r}: templates/{file}: {'no such file: ' if missing else ''}{error}"
            ) from error


def _languages(environment: jinja2.Environment, name: str) -> set[str]:
    found = (_FILE.fullmatch(template) for template in environment.list_templates())
    return {match["language"] for match in found if match is not None and match["name"] == name}


def _fallback(language: str, default: str) -> Iterator[str]:
    """Yield a language tag, then the tag without its last subtags (RFC 4647, section 3.4), then the default."""
    parts = language.lower().replace("_", "-").split("-")
    for length in range(len(parts), 0, -1):
        yield "-".join(parts[:length])
    yield default.lower()


def _source(environment: jinja2.Environment, file: str) -> str:
    if environment.loader is None:
        raise jinja2.TemplateNotFound(file)
    return environment.loader.get_source(environment, file)[0]


def _parts(environment: jinja2.Environment, file: str) -> tuple[str, str]:
    """Return the subject and the text of a text template.

    They are compiled apart, so that a parameter of the subject cannot reach the text, and the reverse.
    """
    first, _, rest = _source(environment, file).partition("\n")
    if not first.startswith(_SUBJECT):
        raise ValueError(f"its first line must begin with `{_SUBJECT}`")
    return first.removeprefix(_SUBJECT).strip(), "\n" + rest  # the empty line keeps line numbers correct


def _template(environment: jinja2.Environment, source: str, file: str) -> jinja2.Template:
    return jinja2.Template.from_code(environment, _compiled(source, file).code, environment.make_globals(None))


def _with_parents(environment: jinja2.Environment, file: str) -> jinja2.Template:
    """Compile a template and what it extends or includes by name."""
    for parent in _compiled(_source(environment, file), file).parents:
        environment.get_template(parent)
    return environment.get_template(file)


def _variables(environment: jinja2.Environment, source: str, file: str) -> set[str]:
    """Return the variables that a template and its parents read."""
    compiled = _compiled(source, file)
    found = set(compiled.variables)
    for parent in compiled.parents:
        found |= _variables(environment, _source(environment, parent), parent)
    return found


def _make_environment(loader: jinja2.BaseLoader | None = None) -> jinja2.Environment:
    return jinja2.Environment(
        loader=loader,
        autoescape=jinja2.select_autoescape(["html"], default_for_string=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


@functools.lru_cache(maxsize=1_000)
def _compiled(source: str, file: str) -> _Compiled:
    """Compile a source, parsed once for all that is asked of it: templates are most of a boot's work.

    Raise TemplateSyntaxError.
    """
    environment = _make_environment()
    tree = environment.parse(source, name=file)
    asked, stored = set[str](), set[str]()
    for node in tree.find_all((nodes.Test, nodes.Name, nodes.Macro)):
        match node:
            case nodes.Test(name="defined" | "undefined", node=nodes.Name(name=name)):
                asked.add(name)
            case nodes.Name(name=name, ctx="store" | "param") | nodes.Macro(name=name):
                stored.add(name)
    return _Compiled(
        code=environment.compile(tree, name=file, filename=file),
        variables=frozenset(meta.find_undeclared_variables(tree) - asked - stored),
        parents=tuple(parent for parent in meta.find_referenced_templates(tree) if parent is not None),
    )


def _fill(template: jinja2.Template, parameters: Mapping[str, Any]) -> str:
    try:
        return template.render(parameters)
    except Exception as error:
        # Only this one's message is safe to keep: it names a variable. Others may quote a parameter's value.
        reason = scrub(error.message or "") if isinstance(error, jinja2.UndefinedError) else None
        raise RenderError(f"{template.name}: {reason or type(error).__name__}") from error
