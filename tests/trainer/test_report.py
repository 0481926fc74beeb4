"""The report: one file that holds everything, says where its labels came from, and what it cannot show."""

import base64
import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import jinja2
import matplotlib as mpl
import numpy as np
import pytest

from tests.motions import motion_samples
from tests.trainer.test_results import guessed_units, guesses, with_units
from trainer.plots import PALETTE, draw_curves, draw_f1
from trainer.report import Page, render
from trainer.results import summarise
from trainer.templates import fill
from trainer.types import RunConfig


@pytest.fixture(scope="module")
def samples():
    return motion_samples(subjects=4, clips=9, side=16)


NOWHERE = Path("no-run")
"""No network is saved there."""


def page(samples, **choices):
    return render(Page(summarise(samples, RunConfig(**choices), guesses(samples), NOWHERE)))


class Balance(HTMLParser):
    """Checks that every tag is closed where it should be, and keeps the text."""

    void = ("meta", "img", "br")

    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attributes):
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(html):
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    return " ".join(" ".join(parser.text).split())


def test_a_report_is_one_file_with_its_pictures_inside(samples):
    html = page(samples)
    sources = re.findall(r"src='([^']*)'", html)
    assert len(sources) == 3
    for source in sources:
        kind, data = source.split(",", 1)
        assert kind == "data:image/svg+xml;base64"
        root = ElementTree.fromstring(base64.b64decode(data))
        assert root.tag.endswith("svg")
    without = re.sub(r"src='[^']*'", "", html)
    assert "http" not in without
    assert "<script" not in without
    assert "<link" not in without


def test_a_report_says_its_scores_and_where_labels_came_from(samples):
    summary = summarise(samples, RunConfig(seed=5), guesses(samples), NOWHERE)
    text = text_of(render(Page(summary)))
    for key in ("uf1", "uar", "accuracy"):
        assert f"{summary['metrics']['overall'][key]:.3f}" in text
    assert "Group labels as given in the manifest" in text
    assert "36 onset-apex pairs of 36 clips, 4 people, 16 x 16 px" in text
    assert "seed 5" in text
    assert "What this can and cannot say" in text
    assert "Of few people it is too narrow: with 8 it holds" in text
    assert "toy/04" in text
    for note in summary["caveats"]:
        assert note in text
    assert "Null control" not in text


def test_a_null_control_cannot_be_taken_for_a_result(samples):
    assert "Null control: the emotion labels of this run were shuffled" in text_of(page(samples, shuffle_labels=True))


def test_the_inner_loss_is_said_to_be_of_the_rows_that_it_is_of(samples):
    curves = [{"epoch": epoch, "loss": [1.0, 1.0, 1.0], "inner_loss": [1.0, 1.0, 1.0]} for epoch in (1, 2)]
    texts = {}
    for name, choices in (("inner", {"select": "inner"}), ("slip", {"slips": ("best-epoch",)})):
        summary = summarise(samples, RunConfig(**choices), guesses(samples), NOWHERE)
        texts[name] = text_of(render(Page({**summary, "curves": curves})))
    assert "as inner loss, on rows set aside" in texts["inner"]
    assert "as inner loss on the held-out rows, which chose the epoch" in texts["slip"]
    assert "looked at once" not in texts["slip"]


def test_a_loss_that_is_null_is_left_out_of_the_curves():
    """In a legend is what is drawn; where a loss is null its line has a gap."""
    nothing = [None, None, None]
    rows = [(1, nothing), (2, [0.4, 0.3, 0.5]), (3, nothing), (4, [0.4, 0.3, 0.5]), (5, [0.4, 0.3, 0.5])]
    curves = [{"epoch": e, "loss": [1.0, 1.0, 1.0], "inner_loss": inner, "loss_fusion": nothing} for e, inner in rows]
    with mpl.rc_context({"svg.fonttype": "none"}):
        root = ElementTree.fromstring(draw_curves(curves))
    texts = [item.text for item in root.iter() if item.tag.endswith("}text")]
    assert {"loss", "inner loss"} <= set(texts)
    assert "of fusion" not in texts
    whole, gaps = (
        next(item.get("d") for item in root.iter() if f"fill: none; stroke: {colour}" in (item.get("style") or ""))
        for colour in PALETTE[:2]
    )
    assert (whole.count("M"), gaps.count("M")) == (1, 2)


def test_a_report_of_action_units_has_what_that_of_emotions_has(samples):
    units = with_units(samples)
    object.__setattr__(units, "clip_id", [f"{person}/{i % 3}" for i, person in enumerate(samples.subject)])
    result = guessed_units(units, ethnicity=True)
    for fold in result.folds:
        fold.curves.extend({"epoch": e, "lr": 0.1, "loss": 1 / e, "loss_emotion": 0.9 / e} for e in (1, 2, 3))
    summary = summarise(units, RunConfig(target="au12", shuffle_labels=True), result, NOWHERE)
    html = render(Page(summary))
    assert re.findall(r'<h2 id="(.*?)"', html) == [
        *("confusion", "meaning", "audit", "groups", "datasets", "classes"),
        *("clips", "heads", "curves", "folds", "made"),
    ]
    text = text_of(html)
    overall = summary["metrics"]["overall"]
    clips = summary["metrics"]["by_clip"]
    told = [f"{clips['binary']:.3f} binary F1", f"{clips['macro']:.3f} macro F1"]
    assert all(each in text for each in told), text[:600]
    assert "Both are means over the 5 of 12 action units that a row shows; none shows AU5, AU7, " in text
    assert f"as CD6ME counts, they are {clips['cd6me']['binary']:.3f} and {clips['cd6me']['macro']:.3f}: " in text
    assert "always showing all of them binary F1 0." in text
    assert "Null control: the action units of this run" in text
    assert "tells which action units are shown on people" in text
    assert "a clip shows the units whose mean probability" in text
    assert not re.search(r"UF1|UAR|recall", text)
    interval = overall["au"]["AU4"]["intervals"]["binary"]
    row = f"AU4 12 4 {overall['au']['AU4']['predicted']} {interval['value']:.3f} ({interval['low']:.2f} to "
    assert row in text
    assert "AU5 0 0 " in text
    assert "no rows no rows 0 0" in text
    for note in summary["caveats"]:
        assert note in text


def test_a_group_that_shows_no_unit_has_no_score(samples):
    units = with_units(samples)
    units.units[np.array(samples.group) == "asian"] = 0
    text = text_of(render(Page(summarise(units, RunConfig(target="au12"), guessed_units(units), NOWHERE))))
    assert "asian 18 2 no rows no rows" in text
    assert "here not all (asian: none; non_asian: AU1, AU2, AU4, AU6, AU12): not to be compared" in text


def test_folds_of_several_people_are_not_called_people(samples):
    text = text_of(page(samples, protocol="kfold:2"))
    assert "By fold held out rows trained on" in text
    assert "By held-out person" not in text


def test_what_has_no_epochs_is_not_said_to_have_some(samples):
    assert "16 x 16 px, 15 epochs, seed 0" in text_of(page(samples))
    assert "16 x 16 px, seed 0" in text_of(page(samples, model="svc"))


def test_a_group_of_one_person_has_no_interval(samples):
    group = ["few" if code == "01" else "many" for code in samples.subject]
    summary = summarise(dataclasses.replace(samples, group=group), RunConfig(), guesses(samples), NOWHERE)
    (gap,) = (gap for gap in summary["metrics"]["gaps"] if gap["of"] == "group")
    assert gap["accuracy"]["low"] is gap["accuracy"]["high"] is None
    text = text_of(render(Page(summary)))
    assert f"{gap['accuracy']['value']:+.3f} (no interval)" in text
    assert "With a group of one person there is none." in text


def test_a_group_without_a_class_is_marked(samples):
    emotion = np.where(np.array(samples.group) == "asian", samples.emotion % 2, samples.emotion)
    text = text_of(page(dataclasses.replace(samples, emotion=emotion)))
    assert "no rows" in text
    assert "here not all (asian: negative, positive): not to be compared" in text


def test_names_from_the_manifest_cannot_break_the_page(samples):
    hostile = dataclasses.replace(samples, subject=[f"<b>&'{name}" for name in samples.subject])
    assert "toy/<b>&'04" in text_of(page(hostile))


def test_a_script_in_a_name_is_shown_and_not_run(samples):
    script = "<script>alert(1)</script>"
    named = {"subject": samples.subject, "dataset": samples.dataset, "group": samples.group}
    html = page(
        dataclasses.replace(samples, **{key: [script + name for name in names] for key, names in named.items()})
    )
    assert "<script" not in html
    text = text_of(html)
    assert f"{script}toy/{script}04" in text
    assert f"Group {script}asian has only" in text


def test_settings_are_there_but_folded_away(samples):
    html = page(samples)
    folded = re.search(r"<details>(.*)</details>", html, re.DOTALL)
    assert folded is not None
    assert '"shuffle_labels": false' in text_of(folded[1])
    assert "shuffle_labels" not in text_of(html.replace(folded[0], ""))


def test_a_page_without_its_content_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="views"):
        fill("demo.html.j2", figures=[])


def letters(names):
    """The texts of a figure of per-class F1 and where each begins, and the figure's width, all in points."""
    classes = ("negative", "positive", "surprise")
    series = [(name, {"n": 1442, "f1": dict.fromkeys(classes, 0.5)}) for name in names]
    with mpl.rc_context({"svg.fonttype": "none"}):
        root = ElementTree.fromstring(draw_f1(series, classes))
    texts = [item for item in root.iter() if item.tag.endswith("}text") and "(n =" in item.text]
    return {item.text: float(item.get("x")) for item in texts}, float(root.get("viewBox").split()[2])


@pytest.mark.parametrize(
    "groups",
    [["asian", "black", "white"], ["east asian", "african american", "caucasian"], ["M" * 28, "b", "c", "d", "e"]],
)
def test_the_legend_has_room_for_every_group(groups):
    placed, width = letters(["all", *groups])
    assert set(placed) == {f"{name} (n = 1442)" for name in ["all", *groups]}
    # The row is centred, so one that is too wide begins left of the figure; a patch of colour stands before each name.
    assert min(placed.values()) > 25
    assert max(placed.values()) < width - 25


def test_a_group_may_be_named_as_formulas_and_private_names_are():
    placed, _ = letters(["all", "_hidden", r"$\broken$", "x" * 60])
    assert list(placed) == [
        "all (n = 1442)",
        "_hidden (n = 1442)",
        r"$\broken$ (n = 1442)",
        "x" * 27 + "\N{HORIZONTAL ELLIPSIS} (n = 1442)",
    ]


def test_a_name_in_letters_that_the_font_lacks_is_drawn_in_codes_without_a_warning(samples):
    group = ["漢族" if name == "asian" else name for name in samples.group]
    dataset = [("数据集", "samm")[int(code) % 2] for code in samples.subject]
    html = page(dataclasses.replace(samples, group=group, dataset=dataset))
    assert "<td>漢族</td>" in html
    placed, _ = letters(["all", "漢族", "Ägäis ⊕"])
    assert [name.partition(" (")[0] for name in placed] == ["all", r"\u6f22\u65cf", "Ägäis ⊕"]


def test_equal_runs_give_equal_pages(samples):
    assert page(samples) == page(samples)


def test_ethnicity_and_its_absence_are_named(samples):
    named = dataclasses.replace(samples, group_column="ethnicity")
    assert "Ethnicity labels as given in the manifest" in text_of(page(named))
    nobody = dataclasses.replace(samples, group=[None] * len(samples), group_column=None)
    assert "The manifest gives neither group nor ethnicity" in text_of(page(nobody))
