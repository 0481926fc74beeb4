"""Support vectors on the flattened cube: the baseline of the MEB benchmark (Varanka et al., 2023), in scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.svm import SVC

C = 28.0


class SupportVectors:
    """RBF support vectors, C = 28, on cubes (n, 3, h, w), one machine for the emotion or one for each action unit.

    What it gives as probabilities are decision values put through softmax (of action units: the logistic function), in
    their order but not calibrated. A class, or a unit's two states, that training rows lack cannot be predicted.
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        self._machines: list[SVC | float] = []
        self._multi_label = False

    def fit(self, cubes: NDArray[np.float32], targets: NDArray[np.int64] | NDArray[np.float32]) -> SupportVectors:
        """Trains on (n,) class numbers, or on (n, units) zeros and ones."""
        rows = cubes.reshape(len(cubes), -1)
        self._multi_label = targets.ndim == 2
        columns = targets.T if self._multi_label else targets[None]
        self._machines = [_machine(rows, np.asarray(column, dtype=np.int64)) for column in columns]
        return self

    def probabilities(self, cubes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(n, classes) of cubes (n, 3, h, w)."""
        rows = cubes.reshape(len(cubes), -1)
        if self._multi_label:
            columns = [_of_unit(machine, rows) for machine in self._machines]
            return np.stack(columns, axis=1, dtype=np.float32, casting="same_kind")
        machine = self._machines[0]
        values = np.full((len(rows), self.classes), -np.inf)
        if isinstance(machine, float):
            values[:, int(machine)] = 0
        else:
            found = machine.decision_function(rows)
            values[:, machine.classes_] = np.stack([-found, found], axis=1) if found.ndim == 1 else found
        exponent = np.exp(values - values.max(axis=1, keepdims=True))
        shares: NDArray[np.float32] = (exponent / exponent.sum(axis=1, keepdims=True)).astype(np.float32)
        return shares


def _machine(rows: NDArray[np.float32], column: NDArray[np.int64]) -> SVC | float:
    """A trained machine, or the only class that there is."""
    from sklearn.svm import SVC

    if (column == column[0]).all():
        return float(column[0])
    return SVC(C=C, kernel="rbf", gamma="scale", decision_function_shape="ovr", break_ties=True).fit(rows, column)


def _of_unit(machine: SVC | float, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    if isinstance(machine, float):
        return np.full(len(rows), machine)
    values: NDArray[np.float64] = 1 / (1 + np.exp(-machine.decision_function(rows)))
    return values
