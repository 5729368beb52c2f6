"""The course in Chinese: nothing is missing or stale, one word for each term, lessons found by their Chinese names."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.cells import cell_len

from kerasnotes.__main__ import main
from kerasnotes.course import catalog, check, contents, exercises, language, pages, records, render
from kerasnotes.course.terminal import Console, wrapped

ROOT = catalog.PACKAGE.parent
COURSE = language.course()
CHINESE = re.compile(r"[\u4e00-\u9fff]")
LESSONS = [lesson for chapter in catalog.chapters() for lesson in chapter.lessons]
REPORTS = {lesson.full_name: report for lesson in LESSONS if (report := records.load(lesson))}
CORRECTIONS = {f"{name}: {record['topic']}": record for name, record in pages.all_corrections(REPORTS)}


@pytest.fixture
def chinese():
    with language.using("zh"):
        yield


# --- zh.json ---------------------------------------------------------------------------------------------------------


def test_the_file_has_one_form_so_that_changes_are_small():
    text = Path(language.__file__).with_name("zh.json").read_text(encoding="utf-8")
    assert text == json.dumps(COURSE, ensure_ascii=False, indent=1) + "\n"


def test_every_lesson_and_chapter_is_there_and_nothing_else():
    assert list(COURSE["lessons"]) == [lesson.full_name for lesson in LESSONS]
    assert list(COURSE["chapters"]) == [chapter.name for chapter in catalog.chapters()]


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.full_name)
def test_a_lessons_chinese_translates_todays_english(lesson):
    entry = COURSE["lessons"][lesson.full_name]
    assert entry["english"] == lesson.headline, "translate the point anew and copy the English"
    assert CHINESE.search(entry["title"])
    assert CHINESE.search(entry["point"])
    assert entry["point"].endswith("。")


def test_what_chapters_are_about_translates_todays_english():
    stale = [c.name for c in catalog.chapters() if COURSE["chapters"][c.name]["english"] != c.about]
    assert not stale, "translate these anew and copy the English"
    for chapter in catalog.chapters():
        assert COURSE["chapters"][chapter.name]["title"] == chapter.titles[2]


def test_exercises_translate_todays_english():
    with language.using("en"):
        tasks = {exercise.number: exercise.task for exercise in exercises.every()}
    for number, entry in COURSE["tasks"].items():
        assert entry["english"] == language.task_digest(tasks[number]), f"{number}: translate it anew"
        assert len(entry["hints"]) == len(tasks[number].hints), number


def test_every_correction_is_there_and_nothing_else():
    assert list(COURSE["corrections"]) == list(CORRECTIONS)


@pytest.mark.parametrize("name", COURSE["corrections"])
def test_a_corrections_chinese_translates_todays_words_and_takes_todays_numbers(name):
    entry, record = COURSE["corrections"][name], CORRECTIONS[name]
    today = language.correction_digest(record)
    assert entry["english"] == today, f"translate it anew and write {today!r}"
    for key in language.CORRECTION:
        numbers = language.NUMBER.findall(record[key])
        places = [int(place) for place in re.findall(r"\{(\d+)\}", entry[key])]
        assert sorted(places) == list(range(len(numbers))), f"{key}: each of {numbers} once"
        own = re.findall(r"\d", re.sub(r"\{\d+\}", "", entry[key]))
        assert set(own) <= set(re.findall(r"\d", language.NUMBER.sub("", record[key]))), f"{key}: a number of its own"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("spread 0.49, variance 0; 98% of 10,000 (1, 22).", ["0.49", "0", "98", "10,000", "1", "22"]),
        ("from -16 to +0.17 ± 3.0e-08, at ±50 or −½, CPU:0", ["-16", "+0.17", "3.0e-08", "50", "0"]),
        ("curvatures [  1. 100.], 4.2. And 2, 3", ["1", "100", "4.2", "2", "3"]),
        ("(1 − γ)(1-x) - 3/2, c_(t-1), input_dim=5", ["1", "1", "3", "2", "1", "5"]),
        ("2f − y, 2^N, e^2, x_1, L2, branch1, w₁, h², 12λ, 1.5f, 3x", []),
    ],
)
def test_numbers_stand_alone_and_are_no_part_of_a_name(text, numbers):
    assert language.NUMBER.findall(text) == numbers


def test_a_correction_is_chinese_with_todays_numbers_until_a_word_changes(monkeypatch, chinese):
    record = {"topic": "size", "course": "2^N", "correct": "N", "shown_by": "2.5 against 3, off by -0.1"}
    entry = {"topic": "尺寸", "course": "2^N", "correct": "N", "shown_by": "相差 {2}：应为 {1}，得到 {0}"}
    entry["english"] = language.correction_digest(record)
    monkeypatch.setitem(COURSE["corrections"], "chapter08.clipping: size", entry)

    def shown(**changed):
        return language.correction("chapter08.clipping", {**record, **changed})

    assert shown() == {"topic": "尺寸", "course": "2^N", "correct": "N", "shown_by": "相差 -0.1：应为 3，得到 2.5"}
    assert shown(shown_by="1e-07 against 1,024, off by +2")["shown_by"] == "相差 +2：应为 1,024，得到 1e-07"
    assert shown(shown_by="2.5 against 3, out by -0.1")["shown_by"] == "2.5 against 3, out by -0.1"
    assert shown(shown_by="2.5 against 3 and 4, off by -0.1")["topic"] == "size"
    assert shown(course="3^N")["topic"] == "size"
    with language.using("en"):
        assert shown() == record


def test_a_number_that_the_english_does_not_have_is_refused():
    assert language.with_numbers("{1} 与 {0}，{1}", "1 or 2") == "2 与 1，2"
    with pytest.raises(ValueError, match=r"\{2\} in '.*': there are 2 numbers in '1 or 2'"):
        language.with_numbers("{0}、{2}", "1 or 2")


def test_a_changed_point_is_shown_in_english(monkeypatch, chinese):
    lesson = catalog.find_lesson("chapter08.clipping")
    assert language.point(lesson) == COURSE["lessons"]["chapter08.clipping"]["point"]
    changed = {**COURSE["lessons"]["chapter08.clipping"], "english": "Another point."}
    monkeypatch.setitem(COURSE["lessons"], "chapter08.clipping", changed)
    assert language.point(lesson) == lesson.headline


def test_a_task_is_chinese_as_long_as_its_english_is_the_same(monkeypatch, chinese):
    from kerasnotes.course.tasks import Predict, Value

    task = Predict(
        "Fade", "chapter08.bptt", 5, "How much?", ("a", "b", "c"), (Value("x", "the factor", lambda: 1),), ""
    )
    entry = {"title": "消失", "text": "多少？", "hints": ["甲", "乙", "丙"], "values": ["因子"]}
    monkeypatch.setitem(COURSE["tasks"], "08.9", {**entry, "english": language.task_digest(task)})
    said = language.task("08.9", task)
    assert (said.title, said.hints, said.values[0].text) == ("消失", ("甲", "乙", "丙"), "因子")
    assert said.values[0].want is task.values[0].want
    monkeypatch.setitem(COURSE["tasks"], "08.9", {**entry, "english": "another"})
    assert language.task("08.9", task) is task
    with language.using("en"):
        assert language.task("08.9", task) is task


def test_a_name_means_one_lesson():
    found = {}
    for full_name, entry in COURSE["lessons"].items():
        for name in (entry["title"], *entry["aliases"]):
            other = found.setdefault(language._folded(name), full_name)
            assert other == full_name, f"{name} means {other} and {full_name}"
            assert name not in {lesson.name for lesson in LESSONS}


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "lesson"),
    [
        ("梯度裁剪", "chapter08.clipping"),
        ("梯度截断", "chapter08.clipping"),
        ("早停", "chapter05.early_stopping"),
        ("提前停止", "chapter05.early_stopping"),
        ("蒙特卡洛", "chapter12.monte_carlo"),
        ("KL 散度", "chapter10.kl_divergence"),
        ("kl散度", "chapter10.kl_divergence"),
        ("tf.data", "chapter01.pipelines"),
        ("clipping", "chapter08.clipping"),
    ],
)
@pytest.mark.parametrize("wanted", ["en", "zh"])
def test_a_lesson_is_found_by_its_chinese_names_in_any_language(name, lesson, wanted, capsys):
    assert main(["--language", wanted, "show", name]) == 0
    assert capsys.readouterr().out == catalog.find_lesson(lesson).source


def test_a_snippet_is_cut_by_a_chinese_name(capsys):
    assert main(["snippet", "梯度裁剪"]) == 0
    whole = capsys.readouterr().out
    assert "def clip_by_global_norm" in whole
    assert "example()" in whole
    assert main(["snippet", "梯度裁剪.cosine"]) == 0
    assert "def cosine" in capsys.readouterr().out


def test_a_wrong_chinese_name_is_answered_with_near_ones(capsys):
    assert main(["show", "梯度裁"]) == 2
    assert "梯度裁剪" in capsys.readouterr().err
    assert main(["show", "量子力学"]) == 2
    assert "There is no lesson '量子力学'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB", "LC_MESSAGES": "zh_TW"}, "zh"),
        ({"LANG": "en_GB", "LC_ALL": "en_GB", "LANGUAGE": "fr:zh_CN:en"}, "zh"),
        ({"LANG": "zh_CN", "LANGUAGE": "en:zh"}, "en"),
        ({"LANG": "zh_CN", "LANGUAGE": ""}, "zh"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_environment_chooses_as_for_gettext(environment, wanted, monkeypatch, capsys):
    for name in language.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language.current() == wanted
    assert main([]) == 0
    assert ("按全局范数裁剪会缩短步子" in capsys.readouterr().out) == (wanted == "zh")
    for asked in language.LANGUAGES:
        assert main(["--language", asked]) == 0
        shown = capsys.readouterr().out
        assert ("按全局范数裁剪会缩短步子" in shown) == (asked == "zh")
        assert ("Clipping by global norm shortens" in shown) == (asked == "en")


@pytest.mark.parametrize("arguments", [["--language", "fr"], ["--language"], ["chapter08", "--list", "--language=x"]])
def test_another_language_is_refused(arguments, capsys):
    assert main(arguments) == 2
    assert "--language: expected en or zh" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--language=zh", "chapter08", "--list"], ["chapter08", "--list", "--language", "zh"]]
)
def test_a_chapter_is_listed_in_chinese(arguments, capsys):
    assert main(arguments) == 0
    assert "梯度裁剪 · 按全局范数裁剪会缩短步子，而保持它的方向。" in capsys.readouterr().out


def test_help_of_a_chapter_is_headed_in_chinese(capsys):
    with pytest.raises(SystemExit):
        main(["chapter08", "--help", "--language", "zh"])
    text = capsys.readouterr().out
    assert text.count("第 08 章 · 循环神经网络") == 1
    assert COURSE["chapters"]["chapter08"]["about"] in text


def console_of(width):
    return Console(file=io.StringIO(), force_terminal=True, width=width, color_system=None)


@pytest.mark.parametrize("wanted", ["en", "zh"])
@pytest.mark.parametrize("width", [80, 120])
def test_the_contents_fit_a_terminal_and_lose_nothing(wanted, width):
    console = console_of(width)
    with language.using(wanted):
        contents.print_contents(console)
        lines = console.file.getvalue().split("\n")
        flat = "".join("".join(lines).split())
        for lesson in LESSONS:
            assert "".join(language.line(lesson).split()) in flat
    longest = max(lines, key=cell_len)
    assert cell_len(longest) <= width or "python -m kerasnotes" in longest
    commands = [line for line in lines if "python -m kerasnotes" in line]
    assert {cell_len(line.partition("python")[0]) for line in commands} == {25}


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("一二三四五六七八九，十一二三", ["一二三四五六七八九，", "十一二三"]),
        ("一二三四五六七八九十，一二三", ["一二三四五六七八九", "十，一二三"]),
        ("一二三四五六七八九（十）", ["一二三四五六七八九", "（十）"]),
        ("训练一个简单循环用的 SimpleRNN 层", ["训练一个简单循环用的", "SimpleRNN 层"]),
        ("a longer line is.（新）", ["a longer line is.", "（新）"]),
        ("python 3.11.7，keras 3.15", ["python 3.11.7，keras", "3.15"]),
        ("tensorflow 2.21.0，keras 3", ["tensorflow 2.21.0，", "keras 3"]),
        ("（ ） “ ” （", ["（ ） “ ” （"]),
        ("a short and a longer one", ["a short and a longer", "one"]),
        ("short", ["short"]),
    ],
)
def test_lines_break_between_characters_and_never_before_punctuation(text, lines, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # a worker of pytest-xdist has it set
    assert wrapped(text, console_of(30), 10).split("\n" + " " * 10) == lines
    assert wrapped(text, Console(file=io.StringIO(), width=30), 10) == text  # a file gets it in one piece


@pytest.mark.parametrize("encoding", ["ascii", "gbk", "latin-1", "utf-8"])
def test_no_encoding_of_a_console_breaks_chinese(encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "kerasnotes", "--language", "zh"]
    found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (found.returncode, found.stderr) == (0, b"")
    assert "梯度裁剪" in found.stdout.decode("utf-8")  # a pipe gets UTF-8


def test_a_console_without_chinese_is_not_given_it_unasked(monkeypatch):
    monkeypatch.setenv("LANGUAGE", "zh")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert language.current() == "en"
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="gbk"))
    assert language.current() == "zh"


def test_a_sentence_takes_the_same_values_in_both_languages():
    def values(text):
        return sorted(re.findall(r"\{\w*\}", text))

    assert [text for text, said in COURSE["words"].items() if values(text) != values(said)] == []


@pytest.fixture
def spoken(monkeypatch, tmp_path, capsys):
    """Function that runs a command in Chinese in an empty folder and returns `(exit code, what it says)`."""
    asked = {}

    class Words(dict):
        def get(self, text, default=None):
            asked[text] = text in self
            return super().get(text, default)

    def run(*arguments):
        capsys.readouterr()
        code = main(["--language", "zh", *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    monkeypatch.setitem(COURSE, "words", Words(COURSE["words"]))
    monkeypatch.chdir(tmp_path)
    yield run
    assert [text for text, known in asked.items() if not known] == [], "these have no Chinese"


def says(found, code, *parts):
    assert found[0] == code, found[1]
    assert all(part in found[1] for part in parts), found[1]


def test_exercises_are_handed_out_in_chinese(spoken, chinese, tmp_path, monkeypatch):
    begun = "08.5  {} *编写  10 分钟 *{}\n"
    title = re.escape(exercises.find("08.5").task.title)
    found = spoken("exercise", "08")
    says(found, 0, "第 08 章 · 循环神经网络\n", "\n开始一道练习          python -m kerasnotes exercise 08.1\n")
    assert re.search(begun.format(title, ""), found[1])
    says(spoken("exercise", "08.5"), 0, "exercise_08_5.py：08.5 ", "，约 10 分钟\npython -m kerasnotes check exercise")
    text = (tmp_path / "exercise_08_5.py").read_text(encoding="utf-8")
    assert re.match(f"# 08.5 {title}（编写，10 分钟）\n#\n", text)
    assert "# 讲解见 chapter08.clipping。做完之后：  python -m kerasnotes check exercise_08_5.py\n" in text
    assert "# 做不出来时：  python -m kerasnotes hint 08.5\n" in text
    says(spoken("exercise", "08.5"), 2, "exercise_08_5.py 已经存在，保持不变")
    assert re.search(begun.format(title, "已开始"), spoken("exercise", "08")[1])
    says(
        spoken("check", "8.5"), 1, "✗ your code is there\n", "\n1 项检验中 0 项成立。看提示：python -m kerasnotes hint"
    )
    says(spoken("exercise", "08.77"), 2, "没有练习 08.77。chapter08 有：08.1 ")
    says(spoken("hint", "x"), 2, "没有练习 'x'：应写编号，如 08.2。python -m kerasnotes exercise 列出全部练习。")
    monkeypatch.setattr(exercises, "of_chapter", lambda chapter: ())
    says(spoken("exercise"), 2, "这里还没有练习。")
    says(spoken("exercise", "08.5"), 2, "没有练习 08.5。chapter08 没有练习。")


def test_hints_and_solutions_are_given_in_chinese(spoken, chinese, monkeypatch):
    says(spoken("solution", "8.5"), 2, "尝试或看提示还不到 2 次", "须加 --yes；看提示：python -m kerasnotes hint 08.5")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys.stdin, "readline", lambda: "\n", raising=False)
    says(spoken("solution", "8.5"), 2, "（python -m kerasnotes hint 08.5）。还是要看答案吗？[y/N] ", "那就先不看答案。")
    hints = len(exercises.find("8.5").task.hints)
    for seen in range(1, hints):
        found = spoken("hint", "8.5")
        says(found, 0, f"\n还有 {hints - seen} 条提示：python -m kerasnotes hint 08.5\n")
        assert found[1].count("（新）") == 1
    says(spoken("hint", "8.5"), 0, "提示到此为止。我们的答案：python -m kerasnotes solution 08.5\n")
    says(spoken("solution", "8.5"), 0, "；讲解见 chapter08.clipping\n")
    named = next(exercise for exercise in exercises.every() if exercise.solution[1])
    dotted = named.solution[1]
    said = f"# 出自 {dotted}；取为程序：python -m kerasnotes snippet {dotted}\n"
    says(spoken("solution", named.number, "--yes"), 0, said)


def outcome_of(status, labels=("one", "two"), left=0, **more):
    records = [{"status": status, "label": label, "reason": "differs", "detail": ["expected 1"]} for label in labels]
    counts = {"passed": 0, "failed": 0, "skipped": left, status: len(labels)}
    return {
        "exercise": "08.5", "title": "Clip", "printed": "", **more,
        "report": {"status": status, "records": records, "counts": counts},
    }  # fmt: skip


def test_answers_are_checked_in_chinese(spoken, chinese, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    for name in ("other.py", "exercise_08_5.py", "exercise_08_6.py", "exercise_08_77.py"):
        (tmp_path / name).write_text("x = 1")
    says(spoken("check", "--seconds", "0"), 2, "--seconds：应为 1 到 3600 之间的数，得到的是 0\n")
    says(spoken("check", "no.py"), 2, "no.py：没有这个文件或文件夹")
    says(spoken("check", "empty"), 2, "empty：这个文件夹里没有练习；应有 exercise_08_2.py 这样的文件")
    says(spoken("check", "other.py"), 2, "other.py：这是哪道练习？")
    says(spoken("check", "a.py", "b.py", "--exercise", "8.5"), 2, "--exercise：须同时给出一个文件")

    outcomes = iter([outcome_of("passed", file="a.py"), outcome_of("failed", file="b.py")])
    monkeypatch.setattr(check, "judge_path", lambda path, exercise, seconds: next(outcomes))
    found = spoken("check", ".")
    says(found, 1, "跳过 exercise_08_77.py：没有练习 08.77。", "2 个文件中，1 个通过\n")
    assert re.search(r"✓  a.py  08.5  2/2 +\n✗  b.py  08.5  0/2  one: expected 1 *\n", found[1])

    outcomes = iter([outcome_of("passed", file="a.py"), outcome_of("passed", ["one"], file="a.py")])
    says(spoken("check", "8.5"), 0, "\n2 项检验全部成立。与我们的答案比较：python -m kerasnotes solution 08.5\n")
    says(spoken("check", "8.5"), 0, "\n检验成立。与我们的答案比较：python -m kerasnotes solution 08.5\n")
    outcomes = iter([outcome_of("failed", left=7, file="a.py", printed="7\n")])
    found = spoken("check", "8.5")
    says(found, 1, "\n  – 还有 7 项，没有进行到\n  你的程序输出：\n      7\n9 项检验中 0 项成立。看提示：python -m")

    def interrupted(path, exercise, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "judge_path", interrupted)
    says(spoken("check", "8.5"), 130, "已中断\n")
    with check._waiting(console_of(80), "a.py"):
        assert list(check.outcome_lines(outcome_of("failed")))[-1][1] == (
            '2 项检验中 0 项成立。看提示：exercise("08.5")'
        )
        with pytest.raises(ValueError, match=r"08\.5 要的是你写的 \w+：应写 check\("):
            check.check_answer("8.5", None, {})
        with pytest.raises(ValueError, match=r"08\.4 要的是数：应写 \w+=…"):
            check.check_answer("8.4", len, {})


def test_how_far_one_is_is_said_in_chinese(spoken, tmp_path, chinese):
    exercise = exercises.find("8.5")
    (tmp_path / exercise.file_name).write_text("x = 1", encoding="utf-8")
    note = {"checked": exercises.digest("x = 1"), "tries": 1, "held": 2, "checks": 3}

    def said(**changed):
        return exercises.state_of(exercise, tmp_path, {"08.5": {**note, **changed}})[2]

    assert said() == "3 项检验中 2 项成立"
    assert said(held=3) == "完成"
    assert said(checked="another") == "检验之后改过"
    assert said(checked="another", tries=0) == "已开始"
    assert "*编写 · 10 分钟 · 讲解： chapter08.clipping*" in exercise.question
    assert "<summary>提示 1</summary>" in exercise._repr_markdown_()


def test_results_are_shown_in_chinese(spoken):
    found = spoken("show", "chapter06.equivariance", "--results")
    says(found, 0, "chapter06.equivariance  等变性 · ", "\n记录于 20", "，default 规模，种子 0，python 3", "\n  图：")
    says(found, 0, " 项检验成立 · ", " 秒\n", "  更正  图像平移的作用", "\n    讲义：  卷积对平移具有不变性。")
    says(spoken("show", "chapter08.clipping", "--results"), 0, "\n  表  ", "\n  图  ")


@pytest.mark.parametrize("width", [80, 120])
def test_results_fit_a_terminal_and_lose_nothing(width, chinese):
    for name, report in REPORTS.items():
        console = console_of(width)
        contents.print_results(catalog.find_lesson(name), console)
        lines = console.file.getvalue().splitlines()
        assert max(map(cell_len, lines[:-1])) <= width, name
        assert lines[-1].startswith("  图："), name  # and a path, which is not broken
        flat = "".join("".join(lines).split())
        for record in report["records"]:
            if record["kind"] == "correction":
                said = language.correction(name, record).values()
                assert all("".join(text.split()) in flat for text in said), (name, record["topic"])
            elif record["kind"] == "table":
                cells = (render.number(cell) for row in [record["columns"], *record["rows"]] for cell in row)
                lost = {word for cell in cells for word in cell.split() if word not in flat} - {"–"}
                assert not lost, (name, record["title"])


@pytest.mark.parametrize("wanted", ["en", "zh"])
@pytest.mark.parametrize("width", [80, 120])
def test_exercises_fit_a_terminal_and_lose_nothing(wanted, width, tmp_path):
    console = console_of(width)
    with language.using(wanted):
        exercises.hand_out(SimpleNamespace(number=None, out=tmp_path), console)
        every = exercises.every()
        for exercise in every:
            exercises.give_hint(SimpleNamespace(number=exercise.number, out=tmp_path, all=True), console)
    lines = console.file.getvalue().splitlines()
    assert max(cell_len(line) for line in lines if "python -m kerasnotes" not in line) <= width
    flat = "".join("".join(lines).split())
    for exercise in every:
        assert all("".join(text.split()) in flat for text in (exercise.task.title, *exercise.task.hints))


def test_records_and_reports_stay_english(chinese):
    entries = records.gather()
    assert records.table(entries).startswith("# Recorded runs")
    path = pages.PAGES / "corrections.md"
    assert pages.texts()[path] == path.read_text(encoding="utf-8")
