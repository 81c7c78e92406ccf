"""What dead runs left behind is put back: the door to it, for the daemon's first job."""

from __future__ import annotations


def repair_dead_runs(state_dir: str) -> list[str]:
    """Put back what runs left that were killed; gives a sentence for each thing put back."""
    try:
        # INTEGRATION: when issue 4's packrat/repair.py is there, only this line and the call stay.
        from packrat.repair import repair  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return []
    sentences: list[str] = repair(state_dir)
    return sentences
