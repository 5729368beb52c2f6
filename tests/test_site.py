"""The site: what pages include by name, what is refused, and how it behaves in a real browser."""

import contextlib
import functools
import http.server
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading

import pytest

from kerasnotes.course import catalog, catalogues, exercises, language, store
from kerasnotes.course import site as builder
from kerasnotes.course.run import effective_settings, run_lesson
from kerasnotes.course.tasks import Write

if lacking := [name for name in builder.NEEDED if importlib.util.find_spec(name) is None]:
    pytest.skip(f'the site needs {", ".join(lacking)}: pip install -e ".[docs]"', allow_module_level=True)
from sphinx_intl import catalog as pofile

WHOLE_SITE = catalog.PACKAGE.parent / "out" / "site"
CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
                  "--disable-background-networking", "--disable-component-update"]  # fmt: skip
QUERIES = {  # what a reader of the notes looks for: the lessons or pages that explain it
    "梯度裁剪": ["chapter08.clipping"],
    "重参数化": ["chapter10.reparameterization"],
    "循环神经网络": ["chapter08.simple_rnn", "chapters/chapter08"],
    "反向传播": ["chapter04.backpropagation", "chapters/chapter04"],
    "提前终止": ["chapter05.early_stopping"],
    "梯度消失": ["chapter04.depth", "chapter08.fading_gradients"],
    "批归一化": ["chapter06.batch_norm"],
    "蒙特卡洛": ["chapter12.monte_carlo"],
    "模式坍塌": ["chapter11.mode_collapse"],
    "长短期记忆": ["chapter09.lstm", "chapters/chapter09"],
}
PAGE = """# Chapter 08 · Recurrent neural networks · 循环神经网络

How long is a gradient? $\\lVert g\\rVert = \\sqrt{\\sum_i g_i^2}$. See {lesson}`chapter08.clipping` and
{name}`chapter08.clipping.cosine`; (3, 4) and (12) have norm {measured}`chapter08.clipping: gradients (3, 4) and (12)`.

$$g \\leftarrow g \\cdot \\frac{c}{\\max(c, \\lVert g\\rVert)}$$

```{listing} chapter08.clipping.clip_by_global_norm
```

![Clipping by global norm keeps the direction and the run](results/chapter08/clipping/FIGURE)

```{result-checks} chapter08.clipping
:labels: clipped at 6.5
  by global norm
```

```{result-table} chapter08.clipping
:title: mean squared error after
```

## Exercises · 练习

```{tasks} chapter08
```
"""
PAGE = PAGE.replace("FIGURE", "clipping-by-global-norm-keeps-the-direction-and-the-run.png")
CHINESE = {
    "How long is a gradient?": "梯度有多长？$\\lVert g\\rVert = \\sqrt{\\sum_i g_i^2}$。"
    "见 {lesson}`chapter08.clipping` 和 {name}`chapter08.clipping.cosine`；(3, 4) 与 (12) 的范数是 "
    "{measured}`chapter08.clipping: gradients (3, 4) and (12)`。",
    "Clipping by global norm": "按全局范数裁剪",
}
TASK = Write(
    title="Clip at *one*", lesson="chapter08.clipping", minutes=7, hints=("Measure.", "Divide by $n$.", "Both."),
    text="Shorten to $c$.", start="def shorten(x, c):\n    ...\n", name="shorten", check=print, wrong=(),
    solution="chapter08.clipping.clip_by_norm",
)  # fmt: skip


@pytest.fixture(scope="module")
def chapter(tmp_path_factory):
    """Chapter 08 with two lessons only, so that the site is small."""
    folder = tmp_path_factory.mktemp("package") / "chapter08"
    folder.mkdir()
    whole = catalog.find_chapter("chapter08")
    text = (whole.path / "__init__.py").read_text(encoding="utf-8").partition("LESSONS")[0]
    (folder / "__init__.py").write_text(text + 'LESSONS = ("fading_gradients", "clipping")\n', encoding="utf-8")
    for name in ("fading_gradients", "clipping"):
        shutil.copy(whole.path / f"{name}.py", folder)
    return catalog.Chapter("chapter08", folder)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    for name in ("fading_gradients", "clipping"):
        lesson = catalog.find_lesson(f"chapter08.{name}")
        report, images = run_lesson(lesson, effective_settings(lesson, "smoke", 0), scale="smoke", seed=0)
        store.save(folder / "chapter08" / name, report, images)
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory, chapter, results):
    folder = tmp_path_factory.mktemp("site")
    (folder / "chapter08.md").write_text(PAGE, encoding="utf-8")
    catalogues.update(folder)
    place = catalogues.path_of("chapter08", folder)
    catalogue = pofile.load_po(place)
    for message in catalogue:
        message.string = next((said for start, said in CHINESE.items() if message.id.startswith(start)), message.string)
    place.write_text(catalogues.as_text(catalogue), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exercises, "of_chapter", lambda chapter: (exercises.Exercise("08.1", chapter, TASK),))
        builder.build(folder, results, folder / "site", chapters=[chapter], draft=True)
    return folder / "site"


def text_of(site, name):
    return (site / name).read_text(encoding="utf-8")


def test_a_page_shows_what_it_names(site):
    page = text_of(site, "chapters/chapter08.html")
    assert "clip_by_global_norm</span>" in page
    assert '<strong class="measured">13</strong>' in page
    assert "clipped at 6.5, all are halved" in page
    assert "by global norm, the cosine with the gradient is 1" in page
    assert "zero gradients stay zero" not in page  # a check that the page does not choose
    assert 'alt="Left: a gradient (1, 8)' in page
    assert "mean squared error after 2 steps" in page
    assert 'href="../lessons/chapter08.clipping.html#chapter08-clipping-cosine"' in page
    assert "Results on this page: your own run" in page
    assert "smoke scale, TensorFlow" in page


def test_a_listing_begins_with_its_own_function(site):
    page = text_of(site, "chapters/chapter08.html")
    listing = page.partition("kn-listing")[2]
    first, folded, _ = listing.partition("<details>")
    assert "clip_by_global_norm</span>" in first
    assert folded
    assert '<span class="kn">import</span>' not in first  # what it needs comes below


def test_a_lesson_page_opens_with_its_example(site):
    page = text_of(site, "lessons/chapter08.clipping.html").partition("<article")[2]
    assert page.index(">example<") < page.index("Settings<") < page.index("Results<")


def test_a_lesson_page_holds_the_whole_report_and_both_downloads(site, results):
    page = text_of(site, "lessons/chapter08.clipping.html")
    report, images = store.load(results / "chapter08" / "clipping")
    assert page.count("✓") == report["counts"]["passed"]
    assert "remedies for fading gradients" in text_of(site, "lessons/chapter08.fading_gradients.html")
    assert page.count("<img") == len(images)
    for ending in ("py", "ipynb"):
        (found,) = site.glob(f"_downloads/*/chapter08.clipping.{ending}")
        assert found.name in page
    assert "--sequence-length" in page


def test_an_exercise_has_its_text_its_command_and_folded_help(site):
    page = (
        text_of(site, "chapters/chapter08.html").partition('<section id="exercise-08-1">')[2].partition("</section>")[0]
    )
    assert "08.1 Clip at *one*" in page  # a title is text, not Markdown
    assert '7 minutes · explained by <a class="reference internal" href="../lessons/chapter08.clipping.html">' in page
    assert "python -m kerasnotes exercise 08.1" in page
    shown, *folded = page.split("<details")
    assert "shorten</span>" in shown
    assert [part.partition("<summary>")[2].partition("<")[0] for part in folded] == [
        "Hint 1",
        "Hint 2",
        "Hint 3",
        "Solution",
    ]
    assert "math" in folded[1]
    assert "clip_by_global_norm</span>" in folded[3]
    assert "../lessons/chapter08.clipping.html#chapter08-clipping-clip-by-norm" in folded[3]
    (found,) = site.glob("_downloads/*/chapter08.exercises.ipynb")
    assert found.parent.name in text_of(site, "chapters/chapter08.html")


def test_both_languages_have_the_same_pages(site):
    english, chinese = (
        {path.relative_to(folder).as_posix() for path in folder.rglob("*.html") if "_static" not in path.parts}
        for folder in (site, site / "zh")
    )
    assert {name for name in english if not name.startswith("zh/")} == chinese
    for name in chinese:
        for language_code, page in (("en", text_of(site, name)), ("zh-CN", text_of(site / "zh", name))):
            assert re.search(rf'<html[^>]* lang="{language_code}"', page)
            links = dict(re.findall(r'<link rel="alternate" hreflang="([\w-]+)" href="([^"]*)">', page))
            assert set(links) == {"en", "zh-CN"}
            here = site / name if language_code == "en" else site / "zh" / name
            assert (here.parent / links["en"]).resolve() == (site / name).resolve()
            assert (here.parent / links["zh-CN"]).resolve() == (site / "zh" / name).resolve()
            for source in re.findall(r'<(?:img|script)[^>]* src="([^"?]*)', page):
                assert (here.parent / source).is_file(), f"{name}: {source}"
    assert not (site / "zh" / "_images").exists()  # a figure is there once
    assert not (site / "zh" / "_static" / "mathjax").exists()


def test_a_chinese_page_translates_prose_and_nothing_else(site):
    page, english = text_of(site / "zh", "chapters/chapter08.html"), text_of(site, "chapters/chapter08.html")
    assert "<h1>第 08 章 · 循环神经网络" in page
    assert "梯度有多长？" in page
    assert "How long is a gradient?" not in page
    assert '<strong class="measured">13</strong>' in page
    assert '<a class="reference internal" href="../lessons/chapter08.clipping.html">' in page.replace("\n", " ")
    assert "梯度裁剪</span></a>" in page
    assert 'href="../lessons/chapter08.clipping.html#chapter08-clipping-cosine"' in page
    assert re.search(r'<span class="caption-text">\s*按全局范数裁剪', page)
    assert "本页的结果：你自己的运行" in page
    assert "它需要的：" in page
    for mark in ('class="math', "<pre>", "check-passed", "<img", "</table>"):
        assert page.count(mark) == english.count(mark) > 0, mark
    code = re.compile(r'<div class="highlight-python[^>]*>.*?</div>', re.S)
    assert code.findall(page) == code.findall(english)


def test_a_lesson_has_a_chinese_page_with_title_point_and_other_names(site):
    page = text_of(site / "zh", "lessons/chapter08.clipping.html").partition("<article")[2]
    entry = language.course()["lessons"]["chapter08.clipping"]
    assert f"<h1>{entry['title']}<" in page
    assert f"<strong>{entry['point']}</strong>" in page
    assert all(name in page for name in entry["aliases"])
    assert "chapter08.clipping</span>" in page
    assert all(name in text_of(site, "lessons/chapter08.clipping.html") for name in (entry["title"], *entry["aliases"]))
    sidebar = text_of(site / "zh", "index.html").partition('class="sidebar-tree"')[2].partition("<article")[0]
    assert "梯度裁剪" in sidebar
    assert "chapter08.clipping<" not in sidebar


def test_the_sidebar_marks_the_current_page_as_sphinx_does(site):
    from kerasnotes.course.site_languages import marked, unmarked

    sphinx = (
        '<p class="caption"><span>x</span></p>\n<ul class="current">\n'
        '<li class="toctree-l1"><a class="reference internal" href="../1.html">1</a><ul>\n'
        '<li class="toctree-l2"><a class="reference internal" href="a.html">a</a></li>\n</ul>\n</li>\n'
        '<li class="toctree-l1 current"><a class="reference internal" href="../2.html">2</a><ul class="current">\n'
        '<li class="toctree-l2 current"><a class="current reference internal" href="#">b</a></li>\n'
        "</ul>\n</li>\n</ul>\n"
        '<p class="caption"><span>y</span></p>\n<ul>\n'
        '<li class="toctree-l1"><a class="reference internal" href="../3.html">3</a></li>\n</ul>\n'
    )
    assert "current" not in unmarked(sphinx, "b.html")
    assert marked(unmarked(sphinx, "b.html"), "b.html") == sphinx
    other = marked(unmarked(sphinx, "b.html"), "a.html")
    assert unmarked(other, "a.html") == unmarked(sphinx, "b.html")
    for folder in (site, site / "zh"):
        for name in ("chapter08.clipping", "chapter08.fading_gradients"):
            page = text_of(folder, f"lessons/{name}.html").partition('class="sidebar-tree"')[2].partition("<article")[0]
            assert page.count("current-page") == 1
            (chosen,) = re.findall(r'current-page"><a class="current reference internal" href="#">(.*?)</a>', page)
            assert chosen == (name if folder == site else language.course()["lessons"][name]["title"])
            assert page.count('checked=""') == 1
        assert (
            'checked=""'
            not in text_of(folder, "search.html").partition('class="sidebar-tree"')[2].partition("<article")[0]
        )


def test_indexes_name_everything(site):
    names = text_of(site, "names.html")
    assert all(name in names for name in catalog.find_lesson("chapter08.clipping").public_names)
    assert "A higher learning rate helps" in text_of(site, "corrections.html")
    assert "tf.keras.losses.mean_squared_error" in text_of(site, "apis.html")


def test_nothing_points_to_another_host(site):
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert '<script src="http' not in text
        assert 'stylesheet" href="http' not in text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("```{listing} chapter08.clipping.clip_by_nrom\n```", "Did you mean clip_by_norm"),
        ("```{listing} chapter08.cliping.cosine\n```", "Did you mean clipping"),
        ("```{result-figure} chapter08.clipping\n:title: no such figure\n```", "no figure begins with"),
        ("![a](results/chapter08/clipping/no-such.png)", "no figure begins with"),
        ("```{result-figure} chapter08.bptt\n:title: x\n```", "no results"),
        ("```{result-checks} chapter08.clipping\n:labels: no such label\n```", "no check begins with"),
        ("{measured}`chapter08.clipping: by`", "is the beginning of"),
        ("{measured}`chapter08.clipping: zero gradients stay zero`", "not about one number"),
        ("{name}`chapter08.clipping.nothing`", "nothing called"),
        ("{lesson}`chapter08.nothing`", "no lesson"),
        ("```{tasks} chapter77\n```", "no chapter"),
        ("[a page](nowhere.md)", "nowhere.md"),
        ("{doc}`nowhere`", "nowhere"),
    ],
)  # fmt: skip
def test_what_does_not_exist_fails_with_the_name_of_the_page(tmp_path, chapter, results, monkeypatch, wrong, message):
    monkeypatch.setattr("kerasnotes.course.site_directives.api_rows", list)  # the table of calls is not at stake
    (tmp_path / "chapter08.md").write_text(f"# Chapter 08\n\n{wrong}\n", encoding="utf-8")
    with pytest.raises(builder.SiteError, match=r"(?s)chapters/chapter08.md:3.*" + message.replace(".", r"\.")):
        builder.build(tmp_path, results, tmp_path / "site", chapters=[chapter], draft=True)
    assert not (tmp_path / "site").exists()


def changed_report(results, folder, change, whole):
    """The results with a change in the report: `whole` stores it as a run does, else the file is edited."""
    shutil.copytree(results / "chapter08" / "fading_gradients", folder / "chapter08" / "fading_gradients")
    report, images = store.load(results / "chapter08" / "clipping")
    change(report)
    place = folder / "chapter08" / "clipping"
    store.save(place, report, images)
    if not whole:
        text = (place / "report.json").read_text(encoding="utf-8")
        (place / "report.json").write_text(text.replace('"seed": 0', '"seed": 1'), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("change", "whole", "reason"),
    [
        ({"scale": "default"}, True, None),
        ({}, True, "smoke scale"),
        ({"scale": "default", "status": "failed"}, True, "do not all hold"),
        ({"scale": "default", "fingerprint": "0"}, True, "has changed since"),
        ({"scale": "default"}, False, "changed by hand"),
    ],
)  # fmt: skip
def test_what_is_no_finding_is_not_shown(tmp_path, chapter, results, change, whole, reason):
    found = changed_report(results, tmp_path, lambda report: report.update(change), whole)
    if reason is None:
        with pytest.raises(builder.SiteError) as caught:  # of the other lesson, whose run is of smoke scale
            builder._reports([chapter], found, draft=False)
        assert "chapter08.clipping" not in str(caught.value)
        return
    with pytest.raises(builder.SiteError, match=f"(?s)no findings.*chapter08.clipping: .*{reason}.*--draft"):
        builder._reports([chapter], found, draft=False)
    assert builder._reports([chapter], found, draft=True)


def test_missing_results_and_pages_are_named(tmp_path, chapter, results):
    (tmp_path / "pages").mkdir()
    with pytest.raises(builder.SiteError, match="page chapter08: no results of fading_gradients, clipping"):
        builder.build(tmp_path / "pages", tmp_path, tmp_path / "site", chapters=[chapter])
    with pytest.raises(builder.SiteError, match=r"missing chapter08\.md"):
        builder.build(tmp_path / "pages", results, tmp_path / "site", chapters=[chapter], draft=True)
    with pytest.raises(builder.SiteError, match="no pages in"):
        builder.build(tmp_path / "none", results, tmp_path / "site", chapters=[chapter])


def test_another_folder_is_not_overwritten(tmp_path, chapter, results):
    (tmp_path / "chapter08.md").write_text(PAGE, encoding="utf-8")
    with pytest.raises(builder.SiteError, match="something else than a site"):
        builder.build(tmp_path, results, tmp_path, chapters=[chapter])


def test_the_command_says_what_is_missing(tmp_path):
    command = [sys.executable, "-m", "kerasnotes", "site", "--results", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "no results of" in run.stdout
    assert "python -m kerasnotes.chapter08" in run.stdout


# --- in a browser ----------------------------------------------------------------------------------------------------


def chromium():
    """The path of a Chromium; where there is none and Debian's packages can be installed, installs it."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None and shutil.which("apt-get") and hasattr(os, "geteuid") and os.geteuid() == 0:
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "chromium"]):
            with contextlib.suppress(subprocess.TimeoutExpired, OSError):  # then the tests are skipped
                subprocess.run(command, capture_output=True, check=False, timeout=240)
        found = shutil.which("chromium")
    return found


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason='the browser tests need pip install -e ".[browser]"')
    path = chromium()
    if path is None:
        pytest.skip("the browser tests need Chromium, which is neither here nor can be installed")
    with api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=CHROMIUM_FLAGS)
        yield opened
        opened.close()


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass

    def copyfile(self, source, outputfile):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the browser has left the page
            super().copyfile(source, outputfile)


@contextlib.contextmanager
def served(folder):
    """The address of a folder."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def address(site):
    with served(site) as found:
        yield found


@pytest.fixture(scope="module")
def whole_address():
    with served(WHOLE_SITE) as found:
        yield found


@pytest.fixture
def open_page(browser):
    """`open_page(url, width)`; whatever the pages complain of fails the test at its end."""
    problems, contexts = [], []

    def opened(url, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: message.type in ("error", "warning") and problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        # A page that is left while its pictures load cancels them; that is no failure.
        page.on("requestfailed", lambda request: "ABORTED" in request.failure or problems.append(request.url))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not problems


def test_search_finds_a_lesson(open_page, address):
    page = open_page(address)
    page.fill("input[name=q]", "global norm")
    page.keyboard.press("Enter")
    page.wait_for_selector("#search-results li a")
    found = page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.href)")
    assert any("lessons/chapter08.clipping.html" in link for link in found)


def results_of(page, address, query):
    """The addresses that a search lists, in order."""
    page.goto(f"{address}search.html?q={query}")
    # The search's last act is to say how many it found. Its moving dots tell nothing: a timer that was already
    # under way sets them off again after their end.
    page.wait_for_function("document.querySelector('.search-summary')?.innerText")
    return page.eval_on_selector_all("#search-results li a", "links => links.map(link => link.getAttribute('href'))")


@pytest.mark.parametrize("folder", ["", "zh/"])
def test_search_finds_chinese(open_page, address, folder):
    page = open_page(address + folder)
    for query in ("梯度裁剪", "梯度截断", "裁剪", "global norm"):
        assert any("lessons/chapter08.clipping.html" in link for link in results_of(page, address + folder, query)), (
            query
        )
    assert results_of(page, address + folder, "量子力学") == []


@pytest.mark.parametrize(
    "text",
    [
        "梯度裁剪",
        "熵",
        "KL散度与 JS 散度",
        "Adam优化器, RMSProp_2 和 x²",
        "  ",
        "ε-贪心",
        "Fréchet 距离",
        "批量归一化 batch-norm",
    ],
)
def test_browser_and_index_cut_a_text_alike(open_page, address, text):
    from kerasnotes.course.site_languages import PairSearch

    page = open_page(address + "zh/search.html")
    assert page.evaluate("text => splitQuery(text)", text) == PairSearch({}).split(text)


def test_the_switch_keeps_the_page(open_page, address):
    page = open_page(address + "lessons/chapter08.clipping.html")
    page.click(".kn-languages a")
    page.wait_for_url(address + "zh/lessons/chapter08.clipping.html")
    assert page.inner_text("h1").startswith("梯度裁剪")
    page.click(".kn-languages a")
    page.wait_for_url(address + "lessons/chapter08.clipping.html")
    assert page.inner_text("h1").startswith("chapter08.clipping")


def test_the_copy_button_copies_a_program_that_runs(open_page, address, tmp_path):
    page = open_page(address + "chapters/chapter08.html")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.click(".kn-program button.copybtn")
    page.wait_for_timeout(300)
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("# chapter08.clipping.clip_by_global_norm")
    program = copied + "\nprint(float(clip_by_global_norm([tf.constant([3.0, 4.0]), tf.constant([12.0])], 6.5)[1]))\n"
    (tmp_path / "mine.py").write_text(program, encoding="utf-8")
    run = subprocess.run([sys.executable, "-I", "mine.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == "13.0", run.stderr[-2000:]


@pytest.mark.parametrize("folder", ["", "zh/"])
def test_formulas_are_set(open_page, address, folder):
    page = open_page(f"{address}{folder}chapters/chapter08.html")
    page.wait_for_selector("mjx-container")
    assert page.locator("mjx-container").count() == 4
    assert page.locator("mjx-merror").count() == 0


def assert_no_horizontal_scroll(page):
    page.wait_for_timeout(100)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} px wider than the window"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_wider_than_a_phone(open_page, address, site, scheme):
    page = open_page(address, width=380, scheme=scheme)
    backgrounds = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (backgrounds == "rgb(255, 255, 255)") == (scheme == "light")
    for path in sorted(site.rglob("*.html")):
        page.goto(address + path.relative_to(site).as_posix())
        assert_no_horizontal_scroll(page)


def test_every_figure_has_a_description(open_page, address):
    page = open_page(address + "lessons/chapter08.clipping.html")
    described = page.eval_on_selector_all("article img", "images => images.map(image => image.alt.length > 20)")
    assert described
    assert all(described)


@pytest.mark.skipif(not (WHOLE_SITE / "index.html").is_file(), reason="no whole site: python -m kerasnotes site")
def test_ten_chinese_queries_find_their_page_in_both_languages(open_page, whole_address):
    page = open_page(whole_address)
    for folder in ("", "zh/"):
        for query, names in QUERIES.items():
            found = results_of(page, whole_address + folder, query)[:8]
            assert any(f"{name}.html" in link for link in found for name in names), f"{folder}{query}: {found}"


@pytest.mark.skipif(not (WHOLE_SITE / "index.html").is_file(), reason="no whole site: python -m kerasnotes site")
def test_the_whole_site_fits_a_phone_and_sets_its_formulas(open_page, whole_address):
    address = whole_address
    page = open_page(address, width=380)
    pages = [path for path in sorted(WHOLE_SITE.rglob("*.html")) if "_static" not in path.parts]
    assert len(pages) > 50
    for path in pages:
        page.goto(address + path.relative_to(WHOLE_SITE).as_posix())
        if "chapters" in path.parts:
            page.wait_for_function("window.MathJax && MathJax.startup && MathJax.startup.promise !== undefined")
            page.evaluate("MathJax.startup.promise.then(() => true)")
            assert page.locator("mjx-merror").count() == 0, path
        assert_no_horizontal_scroll(page)
        missing = page.eval_on_selector_all("article img", "images => images.filter(image => !image.alt).length")
        assert missing == 0, path
