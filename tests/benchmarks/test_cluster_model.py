from pathlib import Path

from benchmarks import cluster_model

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_has_the_models_table():
    assert cluster_model.table() in (DOCS / "cluster.md").read_text()


def test_the_models_gpu_is_that_of_the_page_on_kernels():
    rate = f"{cluster_model.PAIRS_S:,}".replace(",", " ")
    assert (
        f"| `micro` | 224 x 224 | 7 ranks of 448 threads | 13.3 M | 0.3 | 27.6 M | {rate} |"
        in (DOCS / "cuda.md").read_text()
    )


def test_a_gpu_is_as_fast_as_it_is_fed(monkeypatch):
    assert cluster_model.pairs_of_a_gpu() == 16_000 / (1.5 + 2.4)
    monkeypatch.setattr(cluster_model, "CORES", 64)
    assert cluster_model.pairs_of_a_gpu() == cluster_model.PAIRS_S
