"""Annotation sheets as CSV: separators and quotes as programs write them."""

import csv

import pytest

from flowkit.datasets.sheets import read_sheets
from flowkit.errors import InputError
from tests.datasets.trees import comma, xlsx

HEADER = ["Subject", "Filename", "OnsetFrame", "ApexFrame", "OffsetFrame", "Action Units", "Estimated Emotion"]
ROWS = [HEADER, ["01", "EP01", "1", "3", "5", "4+7", "disgust"], ["02", 'EP "a", b', "1", "3", "5", "12", "sad; calm"]]


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    (sheet,) = read_sheets([path])
    return sheet.rows


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC, csv.QUOTE_ALL])
def test_cells_may_be_quoted_under_any_separator(tmp_path, separator, quoting):
    with (tmp_path / "a.csv").open("w", newline="") as file:
        csv.writer(file, delimiter=separator, quoting=quoting).writerows(ROWS)
    (sheet,) = read_sheets([tmp_path / "a.csv"])
    assert sheet.rows == ROWS


def test_a_remark_full_of_another_separator_separates_nothing(tmp_path):
    text = "Coding of two raters; a, b, c, d\nwho,note\n1,calm\n2,x; y; z; x; y; z\n3,calm\n"
    assert read(tmp_path / "a.csv", text)[3] == ["2", "x; y; z; x; y; z"]


def test_a_quote_that_is_not_closed_is_told_by_line(tmp_path):
    with pytest.raises(InputError, match=r"a.csv' line 3: a quote is not closed, or stands within a cell .*; close it"):
        read(tmp_path / "a.csv", 'a,b\n"1","2"\n"3"x,4\n')


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_as_any_system_ends_them(tmp_path, end):
    assert read(tmp_path / "a.csv", end.join(["a;b", '1;"2,3"', ""])) == [["a", "b"], ["1", "2,3"]]


def test_numbers_without_a_fraction_are_whole_and_everything_else_stays(tmp_path):
    cells = ["46.0", "-1.00", "0.0", "007", "007.0", "1.0.0", "4.5", "v1.0", "1.", "1e3", "12345678901234567890.0"]
    whole = ["46", "-1", "0", "007", "007.0", "1.0.0", "4.5", "v1.0", "1.", "1e3", "12345678901234567890"]
    assert read(tmp_path / "a.csv", f"{','.join(cells)}\n") == [whole]


def test_truth_is_written_as_spreadsheets_write_it_into_a_csv(tmp_path):
    rows = [["marked", "other"], [True, False]]
    book = xlsx(tmp_path / "a.xlsx", {"s": rows})
    text = comma(tmp_path / "a.csv", [rows[0], ["TRUE", "FALSE"]])
    (sheet,), (other,) = read_sheets([book]), read_sheets([text])
    assert sheet.rows == other.rows == [["marked", "other"], ["TRUE", "FALSE"]]
    assert sheet.revision.split()[1] == other.revision.split()[1]
