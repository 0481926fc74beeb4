"""Files of predictions, ours and others', are read as they mean it, or named."""

import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowkit.errors import InputError
from trainer.audit.checks import (
    people_on_both_sides,
    repeated_clips,
)
from trainer.audit.predictions import read_predictions

CLASSES = ("negative", "positive", "surprise")


def test_files_of_others_are_read(tmp_path):
    (tmp_path / "theirs.csv").write_text("Subject,Dataset,y_true,y_pred,Epoch\n006,samm,0,1,3\n006,casme2,1,1,4\n")
    found = read_predictions(tmp_path / "theirs.csv")
    assert found.person == ("samm/006", "casme2/006")
    assert found.fold is found.clip is None
    assert (found.true.tolist(), found.predicted.tolist(), found.classes) == ([0, 1], [1, 1], ("0", "1"))
    assert found.epoch == (3, 4)
    table = pa.table({"true": ["a"], "predicted": ["b"], "person": ["x"], "fold": [7], "clip_id": ["c"]})
    pq.write_table(table, tmp_path / "ours.parquet")
    assert read_predictions(tmp_path / "ours.parquet").fold == ("7",)


def written(folder, *lines):
    (folder / "theirs.csv").write_text("\n".join(lines) + "\n")
    return folder / "theirs.csv"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_is_read_as_spreadsheets_write_it(tmp_path, encoding, separator):
    lines = ["subject,dataset,true,predicted", '"006",samm,n,p', "007,samm,Überraschung,n"]
    text = "\r\n".join(lines).replace(",", separator)
    (tmp_path / "theirs.csv").write_bytes(text.encode(encoding))
    found = read_predictions(tmp_path / "theirs.csv")
    assert found.person == ("samm/006", "samm/007")
    assert found.classes == ("n", "p", "Überraschung")


def test_a_row_without_a_person_is_its_subjects(tmp_path):
    """And the others keep theirs: Jane is one in both datasets."""
    header = "person,dataset,subject,true,predicted"
    found = read_predictions(written(tmp_path, header, "Jane,a,1,n,n", "Jane,b,7,p,p", ",b,8,n,p"))
    assert found.person == ("Jane", "Jane", "b/8")
    with pytest.raises(InputError, match="a/1: is person 'Jane' in one row and None in another"):
        read_predictions(written(tmp_path, header, "Jane,a,1,n,n", ",a,1,p,p"))
    with pytest.raises(InputError, match="row 2: person and subject are missing"):
        read_predictions(written(tmp_path, "person,true,predicted", "Jane,n,n", ",p,p"))


def test_files_of_two_subjects_may_have_one_name(tmp_path):
    header = "dataset,subject,filename,true,predicted"
    found = read_predictions(written(tmp_path, header, "a,1,EP01,n,n", "a,2,EP01,p,p", "b,1,EP01,n,n"))
    assert found.clip == ("a/1/EP01", "a/2/EP01", "b/1/EP01")
    assert repeated_clips(found).verdict == "passed"


def test_epochs_are_whole_numbers_however_written(tmp_path):
    header = "subject,true,predicted,epoch"
    assert read_predictions(written(tmp_path, header, "1,n,n,15.0", "2,p,p,7")).epoch == (15, 7)
    for epoch in ("", "1.5", "last"):
        with pytest.raises(InputError, match=rf"row 2 has epoch '{epoch}': must be a whole number"):
            read_predictions(written(tmp_path, header, "1,n,n,15", f"2,p,p,{epoch}"))


def test_a_blank_is_no_class_but_of_action_units(tmp_path):
    for name, line in (("true", "2, ,p"), ("predicted", "2,p,")):
        with pytest.raises(InputError, match=rf"row 2 has no {name} class; give it one, or leave the row out"):
            read_predictions(written(tmp_path, "subject,true,predicted", "1,n,n", line))
    table = pa.table({"true": ["", "AU4"], "predicted": ["AU4", ""], "person": ["x", "y"]})
    pq.write_table(table.replace_schema_metadata({"classes": '["AU1", "AU4"]'}), tmp_path / "units.parquet")
    found = read_predictions(tmp_path / "units.parquet")
    assert (found.classes, found.units) == (("", "AU4"), ("AU1", "AU4"))


def test_a_blank_is_no_fold_and_no_clip(tmp_path):
    """All blanks would be one clip of many people, or a fold that splits them: a leak that is none."""
    for name in ("fold", "clip_id", "filename"):
        with pytest.raises(InputError, match=f"row 2 has no {name}; give it one, or leave the column out"):
            read_predictions(written(tmp_path, f"subject,true,predicted,{name}", "1,n,n,a", "2,p,p, "))
    table = pa.table({"true": ["n"], "predicted": ["n"], "person": ["x"], "fold": pa.array([None], pa.int32())})
    pq.write_table(table, tmp_path / "null.parquet")
    with pytest.raises(InputError, match="row 1 has no fold"):
        read_predictions(tmp_path / "null.parquet")


def test_blanks_about_a_class_are_no_part_of_it(tmp_path):
    assert read_predictions(written(tmp_path, "subject,true,predicted", "1,n ,n", "2, p,p")).classes == ("n", "p")


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    for header in ("subject,true,true,predicted", "subject,true,TRUE,predicted"):
        with pytest.raises(InputError, match="has 2 columns 'true'; leave one"):
            read_predictions(written(tmp_path, header, "1,n,n,n", "2,p,p,p"))


def test_whole_numbers_are_one_class_however_written(tmp_path):
    lines = ("1,0,0.0", "2,1,1.0", "3,-1,-1.", "4,01,1.5")
    assert read_predictions(written(tmp_path, "subject,true,predicted", *lines)).classes == (
        "-1",
        "0",
        "01",
        "1",
        "1.5",
    )


def test_a_person_is_one_in_either_form_of_an_accent(tmp_path):
    composed, apart = (unicodedata.normalize(form, "José") for form in ("NFC", "NFD"))
    lines = (f"{composed},1,c1,n,n", f"{apart} ,2,c2,p,p", "s2,3,c3,n,n")
    found = read_predictions(written(tmp_path, "subject,fold,clip,true,predicted", *lines))
    assert found.person == (composed, composed, "s2")
    assert people_on_both_sides(found).verdict == "leak"


def test_files_that_cannot_be_used_are_named(tmp_path):
    (tmp_path / "bad.csv").write_text("subject,y_true\n1,0\n")
    with pytest.raises(InputError, match=r"no column 'predicted' .*; its columns are subject, y_true"):
        read_predictions(tmp_path / "bad.csv")
    with pytest.raises(InputError, match="has no row; give it a row a prediction"):
        read_predictions(written(tmp_path, "subject,y_true,y_pred"))
    with pytest.raises(InputError, match="line 3 has 2 cells, its header 3"):
        read_predictions(written(tmp_path, "subject,y_true,y_pred", "1,n,n", "2,p"))
    (tmp_path / "latin.csv").write_bytes("subject,true,predicted\n1,n,Ü\n".encode("latin-1"))
    with pytest.raises(InputError, match=r"latin.csv cannot be read \(line 2 is not UTF-8"):
        read_predictions(tmp_path / "latin.csv")
    with pytest.raises(InputError, match="there is no such file"):
        read_predictions(tmp_path / "gone.csv")
