"""What all parts of the demo's story work with: versions, places, the stage and the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opendata_pkg.demo.samples import Samples
    from opendata_pkg.demo.server import S3Server
    from opendata_pkg.demo.stage import Stage

FIRST, SECOND = "2026.1.0", "2026.1.1"
"""The two versions that the demo releases."""

BUCKET = "demo-bucket"
"""Its only bucket."""

CORTEX = "Experimental_Data/Reconstructed_morphologies/Categorized/Neurons/Mouse/Cortex"
PATCH_CLAMP = "Experimental_Data/Electrophysiological_recordings/Single-cell_recordings/Others"
OVERWRITTEN, DELETED, PLAIN = "VISp/Nr5a1_471087815_m.swc", "abf-v2.abf", "VISp/Pvalb_469628681_m.swc"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What all parts of the story work with."""

    stage: Stage
    server: S3Server
    samples: Samples
