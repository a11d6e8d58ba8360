"""``torch.export``: no ahead-of-time export. Refused where used."""

from __future__ import annotations

from ._absent import absent

__getattr__ = absent(__name__, """AdditionalInputs CustomDecompTable Dim ExportBackwardSignature ExportGraphSignature
    ExportedProgram FlatArgsAdapter ModuleCallEntry ModuleCallSignature ShapesCollection UnflattenedModule default_decompositions
    dims draft_export export load register_dataclass save unflatten export_for_training""",
                     "diya compiles what runs and exports no programs")
