"""The datasets that `flowkit index` knows, by name."""

from __future__ import annotations

from flowkit.datasets.cas_me2 import CAS_ME2
from flowkit.datasets.cas_me3 import CASME3A, CASME3C
from flowkit.datasets.casme import CASME
from flowkit.datasets.casme2 import CASME2
from flowkit.datasets.contract import Dataset
from flowkit.datasets.dfme import DFME
from flowkit.datasets.four_dme import FOUR_DME
from flowkit.datasets.mmew import MMEW
from flowkit.datasets.samm import SAMM
from flowkit.datasets.samm_lv import SAMM_LV
from flowkit.datasets.smic import SMIC

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (CASME, CASME2, SAMM, SAMM_LV, CAS_ME2, CASME3A, CASME3C, SMIC, MMEW, FOUR_DME, DFME)
}
