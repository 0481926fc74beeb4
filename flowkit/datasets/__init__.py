"""Which clips there are and what is annotated: manifests, and plain videos or folders where a manifest is expected."""

from flowkit.datasets.emotions import EMOTION3, emotion3_of
from flowkit.datasets.manifest import SCHEMA, manifest_fingerprint, read_manifest, unused_columns, write_manifest
from flowkit.datasets.sources import clips_from

__all__ = [
    "EMOTION3",
    "SCHEMA",
    "clips_from",
    "emotion3_of",
    "manifest_fingerprint",
    "read_manifest",
    "unused_columns",
    "write_manifest",
]
