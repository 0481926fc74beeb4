"""The grammar of action units, with the ways of writing of every dataset."""

import pytest

from flowkit.datasets.action_units import ActionUnit, parse_units


def unit(number, side=None, intensity=None, certain=True, kind="AU"):
    return ActionUnit(number, side, intensity, certain, kind)


@pytest.mark.parametrize(
    ("text", "units", "rest"),
    [
        ("4+7+L10", [unit(4), unit(7), unit(10, "L")], ()),
        ("?", [], ("?",)),
        ("A12", [unit(12, "A")], ()),
        ("7B", [unit(7, None, "B")], ()),
        ("ref(7B)+43", [unit(7, None, "B", False), unit(43)], ()),
        ("(R6 or R12)+R15", [unit(6, "R", None, False), unit(12, "R", None, False), unit(15, "R")], ()),
        ("10A/B", [unit(10, None, "A/B")], ()),
        ("R14+17+soft focus", [unit(14, "R"), unit(17)], ("soft focus",)),
        ("4,24", [unit(4), unit(24)], ()),
        ("14or23", [unit(14, certain=False), unit(23, certain=False)], ()),
        ("9/10", [unit(9, certain=False), unit(10, certain=False)], ()),
        ("NULL", [], ()),
        ("NA", [], ()),
        ("/", [], ()),
        ("", [], ()),
        (None, [], ()),
        ("12L", [unit(12, "L")], ()),
        ("L12", [unit(12, "L")], ()),
        ("AD38+M58", [unit(38, kind="AD"), unit(58, kind="M")], ()),
        ("L1+L2", [unit(1, "L"), unit(2, "L")], ()),
        ("12+4(k)", [unit(12), unit(4, None, "k")], ()),
        ("4?+12", [unit(4, certain=False), unit(12)], ()),
        ("(4+7)?", [unit(4, certain=False), unit(7, certain=False)], ()),
        ("AU4 + AU7", [unit(4), unit(7)], ()),
        ("L12C", [unit(12, "L", "C")], ()),
        ("B25+T10D", [unit(25, "B"), unit(10, "T", "D")], ()),
        ("2014-04-07", [], ("2014-04-07",)),
        ("4+", [unit(4)], ()),
        ("((4)+7", [unit(7)], ("((4)",)),
    ],
)
def test_units_of_a_cell(text, units, rest):
    coding = parse_units(text)
    assert list(coding.units) == units
    assert coding.rest == rest
    assert coding.raw == (text or "")


def test_a_unit_is_not_a_piece_of_text():
    assert parse_units("12+L10").numbers() == {10, 12}
    assert 1 not in parse_units("12").numbers()
    # A head movement of that number is no action unit.
    assert parse_units("M58+AD12").numbers() == set()
