"""What makes the site one in two languages, as a Sphinx extension: search that finds Chinese, a switch, shared figures.

English stands at `/`, Chinese at `/zh/`, with the same pages. Sphinx's own search cuts Chinese into words, which no
browser can do for the query; here both are cut into pairs of characters, so that any run of two or more is found.
"""

import functools
import itertools
import re

from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.search.en import SearchEnglish

from kerasnotes.course.language import LANGUAGES
from kerasnotes.course.site import CODES, FOLDERS

NAMES = {"en": "English", "zh": "中文"}
CHINESE = "\u3400-\u4dbf\u4e00-\u9fff"
WORDS = re.compile(rf"[{CHINESE}]+|[^\W{CHINESE}]+")
SPLITTER = """
function splitQuery(query) {
  const words = query.match(/[CHINESE]+|[^CHINESE\\P{L}]*(?:[\\p{N}_]|(?![CHINESE])\\p{L})+/gu) || [];
  return words.flatMap((word) => {
    if (!/[CHINESE]/.test(word) || word.length < 2) return [word];
    return Array.from({length: word.length - 1}, (_, i) => word.slice(i, i + 2));
  });
}
"""


class PairSearch(SearchEnglish):
    """English by its stems, Chinese by pairs of neighbouring characters."""

    lang = "pairs"
    js_splitter_code = SPLITTER.replace("CHINESE", r"\u3400-\u4dbf\u4e00-\u9fff")

    stem = functools.cache(SearchEnglish.stem)  # the same words come on every page

    def split(self, text):
        """The words of a text, as they are indexed."""
        return list(itertools.chain.from_iterable(map(pairs, WORDS.findall(text))))


def pairs(run):
    """A run of Chinese characters in pairs; anything else, and a single character, as it is."""
    if len(run) < 2 or not "\u3400" <= run[0] <= "\u9fff":
        return [run]
    return [run[i : i + 2] for i in range(len(run) - 1)]


class SecondBuilder(StandaloneHTMLBuilder):
    """Pages below the first language's folder, which show its figures."""

    name = "html"
    imgpath = property(lambda self: self._imgpath, lambda self, path: setattr(self, "_imgpath", f"../{path}"))

    def copy_image_files(self):
        """The first language's build has copied them."""


def _add_languages(app, page, template, context, doctree):
    own = app.config.kerasnotes_language
    up = "../" * (page.count("/") + FOLDERS[own].count("/"))
    places = {each: f"{up}{FOLDERS[each]}{page}.html" for each in LANGUAGES}
    context["kn_languages"] = [
        (CODES[each].replace("_", "-"), NAMES[each], None if each == own else places[each]) for each in LANGUAGES
    ]
    links = [
        f'<link rel="alternate" hreflang="{CODES[each].replace("_", "-")}" href="{place}">'
        for each, place in places.items()
    ]
    context["metatags"] = (context.get("metatags") or "") + "\n".join(links)


# --- the sidebar's tree, which is a third of the build where each page makes its own ---------------------------------


def _share_tree(app, page, template, context, doctree):
    """One tree for all pages of a folder; only the marks of the current page differ."""
    own, make = page.rpartition("/")[2] + ".html", context.get("toctree")
    trees = app.__dict__.setdefault("kerasnotes_trees", {})

    def toctree(**options):
        key = (page.rpartition("/")[0], repr(sorted(options.items())))
        if key not in trees:
            trees[key] = unmarked(make(**options), own)
        return marked(trees[key], own)

    if make:
        context["toctree"] = toctree


def unmarked(tree, own):
    """A tree as Sphinx makes it for one page, without the marks of that page."""
    tree = re.sub(r'(<li class="toctree-l\d) current">', r'\1">', tree.replace('<ul class="current">', "<ul>"))
    return tree.replace(
        '<a class="current reference internal" href="#">', f'<a class="reference internal" href="{own}">'
    )


def marked(tree, own):
    """A tree with the marks that Sphinx gives the current page, its list and those above it."""
    found = re.search(rf'<li class="toctree-l(\d)"><a class="reference internal" href="{re.escape(own)}">', tree)
    if found is None:
        return tree
    level, place = int(found[1]), found.start()
    link = f'<li class="toctree-l{level} current"><a class="current reference internal" href="#">'
    tree = tree[:place] + link + tree[found.end() :]
    for above in range(level - 1, -1, -1):
        start = tree.rfind("<ul>" if above else "</p>\n<ul>", 0, place)
        tree = tree[:start] + tree[start:].replace("<ul>", '<ul class="current">', 1)
        if above:
            place = tree.rfind(f'<li class="toctree-l{above}">', 0, start)
            tree = tree[:place] + tree[place:].replace(f"toctree-l{above}", f"toctree-l{above} current", 1)
    return tree


_highlighted = {}  # both languages show the same listings


def _remember_listings(app):
    bridge = app.builder.highlighter
    highlight = bridge.highlight_block

    def once(source, lang, *arguments, **options):
        key = (source, lang, arguments, repr([(name, options[name]) for name in sorted(options) if name != "location"]))
        if key not in _highlighted:
            _highlighted[key] = highlight(source, lang, *arguments, **options)
        return _highlighted[key]

    bridge.highlight_block = once


def setup(app):
    """Sphinx calls this."""
    app.add_config_value("kerasnotes_language", "en", "html", [str])
    app.add_search_language(PairSearch)
    if app.config.kerasnotes_language != LANGUAGES[0]:
        app.add_builder(SecondBuilder, override=True)
    app.connect("html-page-context", _add_languages)
    app.connect("html-page-context", _share_tree, priority=400)  # before the theme, which draws it
    app.connect("builder-inited", _remember_listings)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
