"""The report: one file that holds everything, says where its labels came from, and what it cannot show."""

import base64
import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

from tests.motions import motion_samples
from tests.trainer.test_results import guesses
from trainer.report import render
from trainer.results import summarise
from trainer.types import RunConfig


@pytest.fixture(scope="module")
def samples():
    return motion_samples(subjects=4, clips=9, side=16)


def page(samples, **choices):
    return render(summarise(samples, RunConfig(**choices), guesses(samples)))


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
    assert len(sources) == 2
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
    summary = summarise(samples, RunConfig(seed=5), guesses(samples))
    text = text_of(render(summary))
    for key in ("uf1", "uar", "accuracy"):
        assert f"{summary['metrics']['overall'][key]:.3f}" in text
    assert "Group labels as given in the manifest" in text
    assert "36 onset-apex pairs of 36 clips, 4 subjects, 16 x 16 px" in text
    assert "seed 5" in text
    assert "What this can and cannot say" in text
    assert "toy/04" in text
    for note in summary["caveats"]:
        assert note in text
    assert "Null control" not in text


def test_a_null_control_cannot_be_taken_for_a_result(samples):
    assert "Null control: the emotion labels of this run were shuffled" in text_of(page(samples, shuffle_labels=True))


def test_a_group_without_a_class_is_marked(samples):
    emotion = np.where(np.array(samples.group) == "asian", samples.emotion % 2, samples.emotion)
    text = text_of(page(dataclasses.replace(samples, emotion=emotion)))
    assert "no rows" in text
    assert "here not all (asian: negative, positive): not to be compared" in text


def test_names_from_the_manifest_cannot_break_the_page(samples):
    hostile = dataclasses.replace(samples, subject=[f"<b>&'{name}" for name in samples.subject])
    assert "toy/<b>&'04" in text_of(page(hostile))


def test_equal_runs_give_equal_pages(samples):
    assert page(samples) == page(samples)


def test_ethnicity_and_its_absence_are_named(samples):
    named = dataclasses.replace(samples, group_column="ethnicity")
    assert "Ethnicity labels as given in the manifest" in text_of(page(named))
    nobody = dataclasses.replace(samples, group=[None] * len(samples), group_column=None)
    assert "The manifest gives neither group nor ethnicity" in text_of(page(nobody))
