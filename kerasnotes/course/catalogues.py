"""The pages' Chinese: gettext catalogues in `chapters/locale`, one for each page, made of what Sphinx finds in it.

`python -m kerasnotes site --catalogues` brings them up to date: a new paragraph is there without Chinese, one whose
English has changed keeps its Chinese but is marked fuzzy, and is shown in English until somebody has looked at it.
Only prose is in them, headings and captions of figures: what a page includes by name has no words of its own.
"""

import functools
import re
import tempfile
from collections import Counter
from dataclasses import dataclass
from io import BytesIO, StringIO
from pathlib import Path

from kerasnotes.course import site, store

CODE = site.CODES["zh"]
# Pages whose Chinese is whole: a test demands that no message is missing, fuzzy or without Chinese.
COMPLETE = (
    "chapter01",
    "chapter02",
    "chapter03",
    "chapter04",
    "chapter05",
    "chapter06",
    "chapter07",
    "chapter08",
    "chapter09",
    "chapter10",
    "chapter11",
    "chapter12",
    "chapter13",
    "chapter14",
    "chapter15",
    "chapter16",
    "glossary",
    "tools",
)
BLOCK = re.compile(r"^( *)(`{3,})\{(?P<name>[\w-]+)\}.*?^\1\2[ \t]*$\n?", re.M | re.S)
WITH_PROSE = {"note", "warning", "tip", "important", "admonition"}  # directives whose content is the page's own
CAPTION = re.compile(r"^!\[([^\]]*)\]\(results/[^)]*\)$", re.M)
CHAPTER_HEADING = re.compile(r"Chapter (\d\d) · .* · (.*[\u4e00-\u9fff].*)")
HEADING = re.compile(r"[^·]+ · (.*[\u4e00-\u9fff].*)")
HEADERS = ("Language", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Plural-Forms")  # nothing that ages


def pages(folder=site.PAGES):
    """`{name: path}` of the pages that have a catalogue."""
    found = [*sorted(Path(folder).glob("chapter[0-9][0-9].md")), *(Path(folder) / f"{n}.md" for n in site.OTHER_PAGES)]
    return {path.stem: path for path in found if path.is_file()}


def path_of(name, folder=site.PAGES):
    """The catalogue of a page."""
    return Path(folder) / "locale" / CODE / "LC_MESSAGES" / f"{name}.po"


def prose(name, text):
    """A page's text as Sphinx's extraction reads it: the course's own directives left out, captions as paragraphs."""
    text = CAPTION.sub(r"\1", text.replace(*site.RECORDS))
    text = BLOCK.sub(lambda found: found[0] if found["name"] in WITH_PROSE else "", text)
    return re.sub(r"^\|.*\n", "", text, flags=re.M) if name == "glossary" else text  # a table in both languages


def templates(found):
    """`{page: Babel's catalogue}` of the messages on the pages, without Chinese. Takes about a second for each.

    Args:
        found: `{name: path}`, as `pages` gives it.
    """
    from docutils import nodes
    from sphinx.application import Sphinx
    from sphinx.util.docutils import docutils_namespace
    from sphinx_intl.catalog import load_po

    settings = {
        "extensions": ["myst_parser"], "myst_enable_extensions": ["dollarmath", "amsmath"],
        "gettext_compact": False, "gettext_location": False, "gettext_uuid": False,
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, docutils_namespace():
        source, target = Path(folder) / "source", Path(folder) / "pot"
        source.mkdir()
        (source / "index.md").write_text("# Pages\n", encoding="utf-8")
        for name, path in found.items():
            (source / f"{name}.md").write_text(prose(name, path.read_text(encoding="utf-8")), encoding="utf-8")
        app = Sphinx(
            srcdir=source, confdir=None, outdir=target, doctreedir=Path(folder) / "doctrees", buildername="gettext",
            confoverrides=settings, status=None, warning=StringIO(), freshenv=True,
        )  # fmt: skip
        app.connect("doctree-read", _leave_out_formulas)
        for role in ("lesson", "name", "measured"):
            app.add_role(role, lambda role, raw, text, line, inliner, **options: ([nodes.inline(raw, text)], []))
        app.build()
        return {name: load_po(target / f"{name}.pot") for name in found}


def _leave_out_formulas(app, document):
    from docutils import nodes

    for formula in document.findall(nodes.math_block):
        formula["translatable"] = False


def merged(name, template, path):
    """The page's catalogue with today's messages, and what Chinese there is for them."""
    from sphinx_intl.catalog import load_po, update_with_fuzzy

    if path.is_file():
        catalogue = load_po(path)
        update_with_fuzzy(catalogue, template)
    else:
        catalogue = template
        catalogue.locale = CODE
    for message in catalogue:
        if message.id and (message.fuzzy or not message.string):
            heading = _heading(message.id)
            if heading:
                message.string = heading
                message.flags.discard("fuzzy")
        message.flags &= {"fuzzy"}  # Babel takes the braces of a formula for a format
    catalogue.fuzzy = False
    catalogue.header_comment = f"# Chinese of chapters/{name}.md; python -m kerasnotes site --catalogues updates it."
    return catalogue


def _heading(text):
    """The Chinese that a page's heading holds itself, or None."""
    found = CHAPTER_HEADING.fullmatch(text)
    if found:
        return f"第 {found[1]} 章 · {found[2]}"
    found = HEADING.fullmatch(text)
    return found[1] if found else None


def as_text(catalogue):
    """The catalogue as its file holds it: the same for the same messages on any day."""
    from babel.messages import pofile

    out = BytesIO()
    pofile.write_po(out, catalogue, width=110, ignore_obsolete=True, include_previous=True)
    lines = out.getvalue().decode("utf-8").split("\n")
    kept = [line for line in lines if not re.match(r'"[\w-]+: .*\\n"$', line) or line[1:].split(":")[0] in HEADERS]
    return "\n".join(kept).rstrip("\n") + "\n"


def update(folder=site.PAGES):
    """Bring all catalogues up to date. Returns `{page: (messages, those without Chinese, fuzzy ones)}`."""
    found, counts = pages(folder), {}
    for name, template in templates(found).items():
        path = path_of(name, folder)
        catalogue = merged(name, template, path)
        text = as_text(catalogue)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            store.write_atomically(path, text)
        messages = [message for message in catalogue if message.id]
        without = sum(not message.string for message in messages)
        counts[name] = len(messages), without, sum(message.fuzzy for message in messages)
    return counts


def problems(names, folder=site.PAGES):
    """What is wrong with the Chinese of these pages, as lines of text; an empty list if it is whole."""
    from sphinx_intl.catalog import load_po

    wrong, found = [], pages(folder)
    for name, template in templates({name: found[name] for name in names}).items():
        path = path_of(name, folder)
        known = {message.id: message for message in load_po(path)} if path.is_file() else {}
        wanted = [message.id for message in template if message.id]
        for text in wanted:
            message = known.get(text)
            if message is None:
                wrong.append(f"{name}: not in the catalogue: {text}")
            elif message.fuzzy:
                wrong.append(f"{name}: fuzzy: {text}")
            elif not message.string:
                wrong.append(f"{name}: without Chinese: {text}")
        wrong += [f"{name}: no longer on the page: {text}" for text in known if text and text not in wanted]
    return wrong


# --- what Chinese must keep and which words it uses ------------------------------------------------------------------

MARKUP = re.compile(r"\{\w[\w-]*\}`[^`]+`|`[^`]+`|\$[^$]+\$|\]\([^)]*\)")


def changed_markup(english, chinese):
    """Formulas, code, roles and links' targets that only one of two texts has, as a list of texts."""
    one, other = (Counter(" ".join(each.split()) for each in MARKUP.findall(text)) for text in (english, chinese))
    return [*(one - other).elements(), *(other - one).elements()]


@dataclass(frozen=True)
class Term:
    """A row of the glossary: the English term, its one Chinese word, other words, and the lesson that explains it."""

    english: str
    chinese: str
    others: tuple
    lesson: str


def glossary(folder=site.PAGES):
    """The terms of `chapters/glossary.md`, in their order, a tuple."""
    row = re.compile(r"^\| (.*?) \| (.*?) \| (.*?) ?\| \{lesson\}`(.*?)` \|$", re.M)
    found = row.findall((folder / "glossary.md").read_text(encoding="utf-8"))
    return tuple(Term(e, c.partition("（")[0], tuple(filter(None, o.split("、"))), name) for e, c, o, name in found)


def wrong_words(chinese, terms, english=""):
    """What a Chinese text says otherwise than the glossary, as lines of text.

    It may use no other word for a term; and where the English has a term of two words or more, its Chinese is there.

    Args:
        chinese: The text.
        terms: The glossary, a tuple of `Term`.
        english: What it translates, or an empty text.
    """
    own, alone, within, spoken = _patterns(terms)
    plain, english = MARKUP.sub(" ", chinese), MARKUP.sub(" ", english)
    found = []
    # 片段 is another word for an episode, but 代码片段 is a term itself.
    for words, text in ((alone, plain), (within, own.sub("\0", plain))):
        for other, term in words.items():
            if other in text:
                found.append(f"{other} instead of {term.chinese} ({term.english})")
    said, close = {" ".join(each.lower().split()) for each in spoken.findall(english)}, plain.replace(" ", "")
    for term in terms:
        if _folded(term.english) in map(_folded, said) and term.chinese.replace(" ", "") not in close:
            found.append(f"no {term.chinese} for {term.english}")
    return found


def _folded(english):
    return english.lower().replace("-", " ")


@functools.cache
def _patterns(terms):
    """`(all Chinese terms, other words, other words that a Chinese term contains, English terms of several words)`."""

    def any_of(words):
        return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))

    others = {other: term for term in terms for other in term.others if len(other) > 1}
    within = {other for other in others if any(other in term.chinese for term in terms)}
    several = [re.sub(r"[ -]", "~", term.english) for term in terms if re.search(r"[ -]", term.english)]
    spoken = any_of(text for text in several if "(" not in text).replace("\\~", "[ -]").replace("~", "[ -]")
    return (
        re.compile(any_of(term.chinese for term in terms)),
        {other: term for other, term in others.items() if other not in within},
        {other: term for other, term in others.items() if other in within},
        re.compile(rf"\b({spoken})(?:s|es)?\b", re.I),
    )


def main(console):
    """`python -m kerasnotes site --catalogues`. Returns the exit code."""
    for name, (messages, without, fuzzy) in update().items():
        state = "complete" if name in COMPLETE else "in work"
        console.print(f"{name:<10} {messages:>4} messages, {without:>3} without Chinese, {fuzzy:>2} fuzzy  {state}")
    return 0
