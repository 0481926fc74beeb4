"""What printed scores say of the counts behind them: how many of n clips must have been right."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from flowkit.errors import InputError


def implied_correct(printed: str, n: int) -> list[int]:
    """Which numbers of right predictions among n round to a printed accuracy, given as "0.7207" or "72.07".

    Empty where none does: then the accuracy is not one of n clips.

    Raises:
        InputError: for what is no share or percentage, and for n below 1.
    """
    try:
        value = Decimal(printed.strip().rstrip("%"))
    except InvalidOperation as error:
        raise InputError(f"accuracy {printed!r} is no number; write it as printed, 0.7207 or 72.07") from error
    percent = value > 1 or printed.strip().endswith("%")
    if n < 1 or not 0 <= value <= (100 if percent else 1):
        raise InputError(
            f"accuracy {printed!r} of {n} clips: must be from 0 to 1, or to 100 in percent, of at least one"
        )
    whole = Decimal(100 if percent else 1)
    exponent = value.as_tuple().exponent
    step = Decimal(1).scaleb(int(exponent)) if isinstance(exponent, int) else Decimal(1)
    return [k for k in range(n + 1) if abs(whole * k / n - value) <= step / 2]
