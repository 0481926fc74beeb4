"""From guesses to one label a person, corrections, groups and the report: no step hides where a label is from."""

import json
from collections import Counter

import pytest

from flowkit.datasets import write_manifest
from flowkit.datasets.revision import Revision
from flowkit.errors import InputError
from flowkit.labels.columns import MODEL, changes_of, require_label, sources
from flowkit.labels.consolidate import consolidate
from flowkit.labels.correct import correct, read_corrections
from flowkit.labels.groups import map_groups, read_mapping
from flowkit.labels.report import kappa_of, lines, page, summarise
from tests.labels.conftest import clip

GUESSES = {
    "samm/1/a": ("asian", 0.9), "samm/1/b": ("asian", 0.8), "samm/1/c": ("white", 0.6),
    "samm/2/a": ("white", 0.9), "samm/2/b": ("black", 0.5),
    "casme2/1/a": ("asian", 0.7), "casme2/2/a": (None, None),
}  # fmt: skip
GIVEN = {"casme2/1/a": "asian"}


@pytest.fixture
def revision(tmp_path):
    clips = [
        clip(
            name,
            tmp_path,
            ethnicity=GIVEN.get(name),
            emotion3=("positive", "negative", "positive", "negative", "positive", "negative", None)[i],
        )
        for i, name in enumerate(GUESSES)
    ]
    write_manifest(clips, tmp_path / "m.parquet")
    made = Revision(tmp_path / "m.parquet")
    made.put("ethnicity_guess", [label for label, _ in GUESSES.values()])
    made.put("ethnicity_guess_probability", [p for _, p in GUESSES.values()])
    made.put(
        "ethnicity_guess_source", [label and f"{MODEL} of m.onnx sha256:12 labels x" for label, _ in GUESSES.values()]
    )
    return made


def ethnicities(revision):
    return dict(zip(GUESSES, revision.column("ethnicity"), strict=True))


def test_the_majority_of_a_persons_clips_counts_and_ties_stay_open(revision):
    verdicts, changed = consolidate(revision, "ethnicity")
    assert changed == 0
    assert [(v.person, v.label, v.basis, v.text) for v in verdicts] == [
        ("samm/1", "asian", "guess", "asian 2, white 1"),
        ("samm/2", None, "guess", "tie: black 1, white 1"),
        ("casme2/1", "asian", "given", "asian 1"),
        ("casme2/2", None, None, ""),
    ]
    assert list(ethnicities(revision).values()) == ["asian", "asian", "asian", None, None, "asian", None]
    told = sources(revision, "ethnicity")
    assert told[0] == f"{MODEL}, majority, 2 of 3 clips of the person: {MODEL} of m.onnx sha256:12 labels x"
    assert told[5] == "the manifest, which does not say from where"
    assert revision.clips[0].label_source == f"ethnicity: {told[0]}"
    assert revision.column("ethnicity_votes")[3:5] == ["tie: black 1, white 1"] * 2


def test_a_tie_goes_to_the_more_probable_only_when_asked(revision):
    verdicts, _ = consolidate(revision, "ethnicity", ties="probability")
    assert verdicts[1].label == "white"
    assert sources(revision, "ethnicity")[3].startswith(f"{MODEL}, more probable of a tie, 1 of 2 clips")
    with pytest.raises(InputError, match="ties 'coin' is unknown; choose leave, probability"):
        consolidate(revision, "ethnicity", ties="coin")


def test_a_tie_that_is_equally_probable_stays_open(revision):
    revision.put("ethnicity_guess_probability", [0.9, 0.8, 0.6, 0.5, 0.5, 0.7, None])
    verdicts, _ = consolidate(revision, "ethnicity", ties="probability")
    assert (verdicts[1].label, verdicts[1].tied) == (None, True)


def test_labels_that_rest_on_guesses_do_not_vote_as_given_ones(revision):
    consolidate(revision, "ethnicity")
    revision.put("ethnicity_guess", ["black", "black", "white", "white", "white", "asian", None])
    verdicts, changed = consolidate(revision, "ethnicity")
    assert [(v.label, v.basis) for v in verdicts[:2]] == [("black", "guess"), ("white", "guess")]
    assert changed == 3
    assert changes_of(revision, "ethnicity")[0][1]["who"] == "flowkit annotate consolidate"


def test_a_guess_stays_a_guess_where_only_label_source_is_left(revision, tmp_path):
    consolidate(revision, "ethnicity")
    map_groups(revision, *read_mapping("paper"))
    write_manifest(revision.clips, tmp_path / "merged.csv")  # the fields of clips alone
    merged = Revision(tmp_path / "merged.csv")
    assert sources(merged, "ethnicity") == sources(revision, "ethnicity")
    assert sources(merged, "group") == sources(revision, "group")
    merged.put("label_source", ["sheet.csv: ethnicity from column Race; group: asian"] * 7)
    assert sources(merged, "ethnicity")[0] == "sheet.csv: ethnicity from column Race; group: asian"


def test_a_label_that_was_given_outweighs_guesses_and_a_minority_is_kept_in_sight(revision):
    labels = ["white", "white", "asian", "black", None, None, None]
    revision.put("ethnicity", labels)
    revision.put("label_source", ["sheet.xlsx"] * 4 + [None] * 3)
    verdicts, changed = consolidate(revision, "ethnicity")
    assert (verdicts[0].label, verdicts[0].basis, changed) == ("white", "given", 1)
    assert (verdicts[1].label, verdicts[1].text) == ("black", "black 1")
    ((clip_id, change),) = changes_of(revision, "ethnicity")
    assert (clip_id, change["from"], change["to"]) == ("samm/1/c", "asian", "white")
    assert change["from_source"] == "sheet.xlsx"
    assert sources(revision, "ethnicity")[4] == "majority, 1 of 2 clips of the person: sheet.xlsx"
    again, changed = consolidate(revision, "ethnicity")
    assert (again[0].label, changed) == ("white", 0)


def test_votes_are_counted_whatever_their_case(revision):
    revision.put("ethnicity", ["Asian", "white", "asian", "WHITE", "White", None, None])
    revision.put("label_source", ["sheet.xlsx"] * 5 + [None] * 2)
    verdicts, changed = consolidate(revision, "ethnicity")
    assert [verdict.text for verdict in verdicts[:2]] == ["asian 2, white 1", "white 2"]
    assert revision.column("ethnicity")[:5] == ["asian", "asian", "asian", "white", "white"]
    assert changed == 4
    assert [change["from"] for _, change in changes_of(revision, "ethnicity")] == ["Asian", "white", "WHITE", "White"]


def corrections(tmp_path, text):
    path = tmp_path / "c.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_corrections(path)


def test_corrections_keep_the_old_value_and_say_who_and_why(revision, tmp_path):
    consolidate(revision, "ethnicity")
    lines_ = corrections(
        tmp_path,
        "clip_id,person,value,who,why\n"
        ',samm/1,White,Ann,"asked them, in person"\n'
        "samm/2/a,,black,Bo,seen\n,casme2/1,none,Bo,withdrawn\n",
    )
    assert correct(revision, "ethnicity", lines_) == (5, 4)
    assert list(ethnicities(revision).values()) == ["white"] * 3 + ["black", None, None, None]
    told = sources(revision, "ethnicity")
    assert told[0] == "corrected by Ann: asked them, in person"
    assert told[5] == "corrected by Bo: withdrawn"
    change = json.loads(revision.column("ethnicity_changes")[0])
    assert change == [
        {
            "from": "asian",
            "from_source": f"{MODEL}, majority, 2 of 3 clips of the person: {MODEL} of m.onnx sha256:12 labels x",
            "to": "white",
            "to_source": told[0],
            "who": "Ann",
            "why": "asked them, in person",
        }
    ]
    verdicts, _ = consolidate(revision, "ethnicity")
    assert (verdicts[0].basis, verdicts[1].basis, verdicts[1].label) == ("corrected", "corrected", "black")


def test_a_label_that_is_corrected_where_none_was_is_a_change(revision, tmp_path):
    lines_ = corrections(tmp_path, "person,value,who,why\nsamm/2,black,Bo,seen\ncasme2/2,none,Bo,unsure\n")
    assert correct(revision, "ethnicity", lines_) == (3, 0)
    assert correct(revision, "ethnicity", lines_) == (3, 0)  # and the same again is none
    set_ = {"from": None, "from_source": None, "to": "black", "to_source": "corrected by Bo: seen"}
    set_ |= {"who": "Bo", "why": "seen"}
    assert changes_of(revision, "ethnicity") == [("samm/2/a", set_), ("samm/2/b", set_)]
    told = "\n".join(lines(summarise(revision, "ethnicity")))
    assert "2 labels were changed\n  samm/2/a: none -> black, by Bo: seen\n" in told
    consolidate(revision, "ethnicity")
    map_groups(revision, *read_mapping("paper"))
    assert len(changes_of(revision, "ethnicity")) == 2  # what a vote or a mapping gives first is in its source
    assert not changes_of(revision, "group")


def test_a_label_that_a_person_took_away_stays_away(revision, tmp_path):
    revision.put("ethnicity", ["white", "white", "white", None, None, "asian", None])
    taken = "clip_id,person,value,who,why\nsamm/1/a,,none,Bo,unsure\n,samm/2,none,Bo,withdrawn\n"
    assert correct(revision, "ethnicity", corrections(tmp_path, taken)) == (3, 1)
    map_groups(revision, *read_mapping("paper"))  # another label's step forgets nothing
    told = ["corrected by Bo: unsure", "corrected by Bo: withdrawn", "corrected by Bo: withdrawn"]
    for step in (revision, _written(revision, tmp_path / "m.csv"), _merged(revision, tmp_path / "merged.csv")):
        verdicts, _ = consolidate(step, "ethnicity", ties="probability")
        assert list(ethnicities(step).values()) == [None, "white", "white", None, None, "asian", None]
        assert [sources(step, "ethnicity")[i] for i in (0, 3, 4)] == told
        assert [(v.label, v.basis, v.text) for v in verdicts[:2]] == [("white", "given", "white 2"), (None, None, "")]
    assert dict(summarise(revision, "ethnicity").kinds) == {"annotated": 3, "corrected by a person": 3}
    again = "clip_id,value,who,why\nsamm/1/a,white,Bo,asked\n"
    assert correct(revision, "ethnicity", corrections(tmp_path, again)) == (1, 0)
    assert sources(revision, "ethnicity")[0] == "corrected by Bo: asked"


def test_a_reason_that_reads_like_a_source_is_none(revision, tmp_path):
    first = 'person,value,who,why\nsamm/1,white,Ann,"asked; group: unsure"\n'
    second = 'person,value,who,why\nsamm/1,asian,Bo,"seen; ethnicity: sheet.xlsx"\n'
    correct(revision, "ethnicity", corrections(tmp_path, first))
    correct(revision, "group", corrections(tmp_path, second))
    assert sources(revision, "ethnicity")[0] == "corrected by Ann: asked; group: unsure"
    merged = _merged(revision, tmp_path / "merged.csv")
    assert sources(merged, "ethnicity")[0] == "corrected by Ann: asked, group: unsure"
    assert sources(merged, "group")[0] == "corrected by Bo: seen, ethnicity: sheet.xlsx"


def test_labels_that_are_missing_were_not_taken_away(revision):
    revision.put("label_source", ["corrected sheet of our lab"] * 7)
    consolidate(revision, "ethnicity")
    assert list(ethnicities(revision).values())[:3] == ["asian"] * 3


def _written(revision, path):
    revision.write(path)
    return Revision(path)


def _merged(revision, path):
    write_manifest(revision.clips, path)  # the fields of clips alone
    return Revision(path)


def test_corrections_may_be_separated_as_spreadsheets_do(revision, tmp_path):
    text = "person;value;who;why\nsamm/1;White;Ann;asked, twice\n"
    assert correct(revision, "ethnicity", corrections(tmp_path, text)) == (3, 0)
    assert sources(revision, "ethnicity")[0] == "corrected by Ann: asked, twice"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("clip_id,value,who\nsamm/1/a,white,Ann\n", "has no column 'why'"),
        (
            "person,value,who,why\nsamm/1,white,Ann,x\n\nsamm/2,asian,Rater, A.,asked the person\n",
            "line 4 has 5 cells, its header 4; put a cell with a comma in it in quotes",
        ),
        ("clip_id,value,who,why,person\nsamm/1/a,white,Ann,x\n", "line 2 has 4 cells, its header 5"),
        ('clip_id,value,who,why\nsamm/1/a,white,"Ann,x\n', "line 2: a quote is not closed"),
        ("clip_id,value,who,why\nsamm/1/a,white,Ann,\xe9\n".encode("latin-1"), r"line 2 is not UTF-8 .*; save it"),
        ("value,who,why\nwhite,Ann,x\n", "has neither a column 'clip_id' nor 'person'"),
        ("clip_id,value,who,why\nsamm/1/a,white,,x\n", "line 2: who is empty"),
        ("clip_id,person,value,who,why\nsamm/1/a,samm/1,white,Ann,x\n", "line 2: both clip_id and person are given"),
        ("clip_id,value,who,why\nsamm/9/a,white,Ann,x\n", "line 2: the manifest has no clip or person 'samm/9/a'"),
        (
            "clip_id,person,value,who,why\n,samm/1,white,Ann,x\nsamm/1/a,,black,Ann,x\n",
            r"line 3: 'samm/1/a' is black, but white at .* line 2; keep one",
        ),
    ],
)
def test_a_correction_that_cannot_be_used_is_refused(revision, tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        correct(revision, "ethnicity", corrections(tmp_path, text))


def test_groups_are_the_papers_and_say_that_they_rest_on_a_guess(revision):
    consolidate(revision, "ethnicity", ties="probability")
    counts, changed, kept = map_groups(revision, *read_mapping("paper"))
    assert dict(counts) == {"asian": 4, "non_asian": 2, None: 1}
    assert (changed, kept) == (0, 0)
    told = sources(revision, "group")
    assert told[0].startswith(f"{MODEL}, mapping paper of ethnicity ({MODEL}, majority")
    assert told[5] == "mapping paper of ethnicity (the manifest, which does not say from where)"


def test_a_group_that_a_person_corrected_stays(revision, tmp_path):
    consolidate(revision, "ethnicity", ties="probability")
    map_groups(revision, *read_mapping("paper"))
    by_hand = "clip_id,value,who,why\nsamm/1/a,non_asian,Ann,asked\nsamm/1/b,none,Ann,withdrawn\n"
    assert correct(revision, "group", corrections(tmp_path, by_hand)) == (2, 2)
    for step in (revision, _written(revision, tmp_path / "m.csv"), _merged(revision, tmp_path / "merged.csv")):
        counts, changed, kept = map_groups(step, *read_mapping("paper"))
        assert (dict(counts), changed, kept) == ({"non_asian": 3, None: 2, "asian": 2}, 0, 2)
        assert step.column("group")[:3] == ["non_asian", None, "asian"]
        assert sources(step, "group")[:2] == ["corrected by Ann: asked", "corrected by Ann: withdrawn"]


def test_a_mapped_group_goes_with_the_ethnicity_that_it_came_from(revision, tmp_path):
    consolidate(revision, "ethnicity", ties="probability")
    map_groups(revision, *read_mapping("paper"))
    taken = corrections(tmp_path, "person,value,who,why\nsamm/1,none,Bo,withdrawn\n")
    assert correct(revision, "ethnicity", taken) == (3, 3)
    for step in (_written(revision, tmp_path / "m.csv"), _merged(revision, tmp_path / "merged.csv"), revision):
        assert map_groups(step, *read_mapping("paper"))[1:] == (3, 0)
        assert step.column("group") == [None] * 3 + ["non_asian"] * 2 + ["asian", None]
        assert sources(step, "group")[:3] == [None] * 3
        assert step.clips[0].label_source == "ethnicity: corrected by Bo: withdrawn"
        assert map_groups(step, *read_mapping("paper"))[1:] == (0, 0)
    _, change = changes_of(revision, "group")[0]
    assert (change["from"], change["to"]) == ("asian", None)
    assert change["to_source"] == "mapping paper of ethnicity (corrected by Bo: withdrawn)"
    again = corrections(tmp_path, "person,value,who,why\nsamm/1,white,Bo,asked\n")
    correct(revision, "ethnicity", again)
    map_groups(revision, *read_mapping("paper"))
    assert revision.column("group")[:3] == ["non_asian"] * 3


def test_a_sheets_own_group_stays_without_an_ethnicity(revision, tmp_path):
    derived = "s.csv: ethnicity from column Race, group from ethnicity, age from column Age"
    written = "s.csv: ethnicity from column Race, group from column RaceConcised"
    revision.put("ethnicity", ["asian"] * 7)
    revision.put("group", ["asian"] * 7)
    revision.put("label_source", [derived, written, "s.csv: group from column RaceConcised", None, *[derived] * 3])
    taken = "person,value,who,why\nsamm/1,none,Bo,withdrawn\nsamm/2,none,Bo,withdrawn\n"
    correct(revision, "ethnicity", corrections(tmp_path, taken))
    assert map_groups(revision, *read_mapping("paper"))[1:] == (2, 0)
    assert revision.column("group") == [None, "asian", "asian", "asian", None, "asian", "asian"]


def test_all_five_groups_are_mapped_as_in_the_paper():
    name, mapping = read_mapping("paper")
    assert (name, dict(mapping)) == (
        "paper",
        {"white": "non_asian", "black": "non_asian", "asian": "asian", "indian": "asian", "others": "asian"},
    )


def test_a_mapping_of_the_users_and_codes_in_an_order_that_is_said(revision, tmp_path):
    revision.put("ethnicity", ["2", "3", "0", "0", None, "1", None])
    with pytest.raises(InputError, match=r"ethnicity '0' \(2 clips\) has no group; say what the codes stand for"):
        map_groups(revision, *read_mapping("paper"))
    (tmp_path / "map.csv").write_text("ethnicity;group\nWhite;W\nBlack;b\nAsian;a\nIndian;I\n")
    counts, *_ = map_groups(revision, *read_mapping(str(tmp_path / "map.csv")), ("white", "black", "indian", "asian"))
    assert revision.column("ethnicity")[:3] == ["indian", "asian", "white"]
    assert revision.column("group")[:3] == ["i", "a", "w"]
    assert counts["w"] == 2
    assert "codes read as 0 white, 1 black, 2 indian, 3 asian" in sources(revision, "group")[0]
    assert changes_of(revision, "ethnicity")[0][1]["from"] == "2"
    (tmp_path / "map.csv").write_text("ethnicity,group\nWhite,w\nwhite,b\n")
    with pytest.raises(InputError, match="occurs a second time"):
        read_mapping(str(tmp_path / "map.csv"))
    (tmp_path / "map.csv").write_text("ethnicity,group\nBlack,non,asian\n")
    with pytest.raises(InputError, match="line 2 has 3 cells, its header 2"):
        read_mapping(str(tmp_path / "map.csv"))


def test_the_report_has_both_tables_agreement_ties_and_changes(revision, tmp_path):
    consolidate(revision, "ethnicity")
    correct(revision, "ethnicity", corrections(tmp_path, "person,value,who,why\nsamm/1,<white>,Ann,asked\n"))
    summary = summarise(revision, "ethnicity")
    assert summary.composition.header[:4] == ("dataset", "ethnicity", "clips", "people")
    assert summary.composition.rows == (
        ("casme2", "asian", "1", "1", "1", "1"), ("casme2", "none", "1", "1", "0", "0"),
        ("samm", "<white>", "3", "1", "3", "1"), ("samm", "none", "2", "1", "2", "1"),
        ("all", "all", "7", "4", "6", "3"),
    )  # fmt: skip
    assert summary.emotions.header == ("ethnicity", "negative", "positive", "surprise", "no class", "all")
    assert summary.emotions.rows[-1] == ("all", "3", "3", "0", "1", "7")
    assert dict(summary.kinds) == {"corrected by a person": 3, "annotated": 1}
    assert (summary.agreement.clips, summary.agreement.agreeing) == (4, 1)
    assert summary.unanimous == (0, 2)
    assert summary.ties == (("samm/2", "tie: black 1, white 1"),)
    assert len(summary.changes) == 3
    html = page(summary)
    assert "&lt;white&gt;" in html
    assert "<white>" not in html
    assert "corrected by Ann: asked" in html
    assert "tie: black 1, white 1" in html
    text = "\n".join(lines(summary))
    assert "Table I: clips and people by dataset and ethnicity" in text
    assert "samm/1/a: asian -> <white>, by Ann: asked" in text
    assert "  3 clips: corrected by Ann: asked" in text


def test_a_person_with_contradicting_labels_is_counted_under_each_and_named(revision):
    revision.put("ethnicity", ["asian", "white", "white", None, "black", "asian", None])
    summary = summarise(revision, "ethnicity")
    assert {row[1]: row[2:4] for row in summary.composition.rows if row[0] == "samm"} == {
        "asian": ("1", "1"), "white": ("2", "1"), "black": ("1", "1"), "none": ("1", "1"),
    }  # fmt: skip
    assert summary.contradicting == ("samm/1",)
    assert "counted under each: samm/1" in "\n".join(lines(summary))


def test_kappa_is_cohens():
    pairs = Counter({("y", "y"): 20, ("y", "n"): 5, ("n", "y"): 10, ("n", "n"): 15})
    assert kappa_of(pairs) == pytest.approx(0.4)
    assert kappa_of(Counter({("y", "y"): 3})) is None


def test_a_spoiled_cell_and_a_column_that_is_no_label_are_said(revision, tmp_path):
    revision.put("ethnicity_changes", ["oops"] + [None] * 6)
    with pytest.raises(InputError, match=r"clip 'samm/1/a': ethnicity_changes is 'oops', no list of changes"):
        summarise(revision, "ethnicity")
    revision.put("ethnicity", ["asian", *[None] * 6])
    with pytest.raises(InputError, match="ethnicity_changes is 'oops', no list of changes; restore or empty the cell"):
        correct(revision, "ethnicity", corrections(tmp_path, "clip_id,value,who,why\nsamm/1/a,white,Ann,asked\n"))
    with pytest.raises(InputError, match="column 'emotion' is no label"):
        require_label("emotion")
