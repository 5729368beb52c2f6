"""The pages in Chinese: catalogues that are whole, markup that survives, and the glossary's words, everywhere."""

import re

import pytest

from kerasnotes.course import catalog, catalogues, language

COMMAND = 'the catalogues need pip install -e ".[docs]"'
pytest.importorskip("myst_parser", reason=COMMAND)
load_po = pytest.importorskip("sphinx_intl.catalog", reason=COMMAND).load_po

ROOT = catalog.PACKAGE.parent
COURSE = language.course()
TERMS = catalogues.glossary()


def translated():
    """`[(where, English, Chinese)]` of everything in Chinese that is prose."""
    found = []
    for name in catalogues.pages():
        if catalogues.path_of(name).is_file():
            messages = [m for m in load_po(catalogues.path_of(name)) if m.id and m.string and not m.fuzzy]
            found += [(name, m.id, m.string) for m in messages]
    found += [(name, entry["english"], entry["point"]) for name, entry in COURSE["lessons"].items()]
    found += [(name, entry["english"], entry["about"]) for name, entry in COURSE["chapters"].items()]
    found += [(name, "", entry["title"]) for name, entry in COURSE["lessons"].items()]
    for name, entry in COURSE["tasks"].items():
        found += [(name, "", text) for text in (entry["title"], entry["text"], *entry["hints"])]
    for name, entry in COURSE["corrections"].items():
        found += [(name, "", entry[key]) for key in ("topic", "correct", "shown_by")]  # the notes' words are their own
    found += [("words", english, chinese) for english, chinese in COURSE["words"].items()]
    return [*found, ("README.zh.md", "", readme())]


def readme():
    """README.zh.md without its sentence on other books' words."""
    return re.sub(r"（`show 提前停止`.*?）", "", (ROOT / "README.zh.md").read_text(encoding="utf-8"))


TRANSLATED = translated()


def test_complete_pages_have_no_message_missing_fuzzy_or_without_chinese():
    assert not catalogues.problems(catalogues.COMPLETE)


def test_no_code_result_or_label_is_in_a_catalogue():
    found = {"one": ROOT / "chapters" / "chapter08.md"}
    ids = [message.id for message in catalogues.templates(found)["one"] if message.id]
    assert "Chapter 08 · Recurrent networks · 循环神经网络" in ids
    assert "Clipping by global norm keeps the direction and the run" in ids, "a figure's caption is prose"
    assert not [text for text in ids if re.search(r"```|:labels:|:title:|^chapter08|!\[|\\frac\{\\partial L\}", text)]


def test_a_changed_paragraph_is_fuzzy_and_a_new_one_without_chinese(tmp_path):
    page = tmp_path / "chapter01.md"
    page.write_text("# Chapter 01 · A · 甲\n\nThe first paragraph of $x$.\n\nThe second one.\n", encoding="utf-8")
    assert catalogues.update(tmp_path) == {"chapter01": (3, 2, 0)}
    path = catalogues.path_of("chapter01", tmp_path)
    text = path.read_text(encoding="utf-8")
    assert '"第 01 章 · 甲"' in text
    assert re.findall(r"\d{4}-\d\d-\d\d|^#:", text, re.M) == []  # neither dates nor lines of pages
    text = text.replace(
        'msgid "The first paragraph of $x$."\nmsgstr ""', 'msgid "The first paragraph of $x$."\nmsgstr "第一段 $x$。"'
    )
    path.write_text(text, encoding="utf-8")
    assert catalogues.update(tmp_path) == {"chapter01": (3, 1, 0)}
    assert path.read_text(encoding="utf-8") == text
    assert catalogues.problems(["chapter01"], tmp_path) == ["chapter01: without Chinese: The second one."]
    page.write_text(
        "# Chapter 01 · A · 甲\n\nThe first paragraph of $y$.\n\nThe second one.\n\nA third.\n", encoding="utf-8"
    )
    assert "not in the catalogue: The first paragraph of $y$." in "\n".join(
        catalogues.problems(["chapter01"], tmp_path)
    )
    assert catalogues.update(tmp_path) == {"chapter01": (4, 2, 1)}
    assert catalogues.problems(["chapter01"], tmp_path)[0] == "chapter01: fuzzy: The first paragraph of $y$."


def test_formulas_code_and_roles_survive():
    """One test for all of three thousand texts: a test each would take longer to report than to run."""
    found = [
        (where, english, catalogues.changed_markup(english, chinese))
        for where, english, chinese in TRANSLATED
        if english
    ]
    assert len(found) > 1000
    assert [each for each in found if each[2] != []] == []


def test_markup_that_differs_is_named():
    assert catalogues.changed_markup("a $x$ and `y`", "乙 `y` 与 $x$") == []
    assert catalogues.changed_markup("a $x$", "乙 $z$") == ["$x$", "$z$"]
    assert catalogues.changed_markup("{name}`a.b` twice", "两次 `a.b`") == ["{name}`a.b`", "`a.b`"]
    assert catalogues.changed_markup("[a](b.md)", "[甲](c.md)") == ["](b.md)", "](c.md)"]


def test_the_glossary_has_one_chinese_word_for_each_term():
    rows = (ROOT / "chapters" / "glossary.md").read_text(encoding="utf-8").count("\n| ") - 2
    assert len(TERMS) == rows >= 150, "a row has another form than the others"
    for words in ([term.english for term in TERMS], [term.chinese for term in TERMS]):
        assert len(words) == len(set(words))
    order = [term.english.lower().replace("-", " ") for term in TERMS]
    assert order == sorted(order)
    own = {term.chinese for term in TERMS}
    for term in TERMS:
        assert not own & set(term.others), term
        assert term.lesson in COURSE["lessons"]


def test_every_word_of_the_glossary_finds_a_lesson():
    own = {"chapter16.summary"}  # words of this package itself
    lost = [
        word
        for term in TERMS
        for word in (term.chinese, *term.others)
        if term.lesson not in own and term.english not in ("check", "seed") and language.find(word) is None
    ]
    assert not lost


def test_chinese_texts_use_the_glossarys_words():
    wrong = []
    for where, english, chinese in TRANSLATED:
        heading = catalogues._heading(english) is not None
        found = catalogues.wrong_words(chinese, TERMS, "" if heading else english)
        wrong += [f"{where}: {each}: {chinese[:50]}" for each in found]
    assert not wrong, "\n".join(wrong)


def test_another_word_than_the_glossarys_is_found():
    assert catalogues.wrong_words("用梯度截断训练", TERMS) == ["梯度截断 instead of 梯度裁剪 (gradient clipping)"]
    assert catalogues.wrong_words("一段代码片段", TERMS) == []
    assert catalogues.wrong_words("它学得很快", TERMS, "Its learning rates are high") == ["no 学习率 for learning rate"]
    assert catalogues.wrong_words("它的学习率高", TERMS, "Its learning rates are high") == []
