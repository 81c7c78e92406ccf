"""What a service reads, as a pipeline document names it, and the roots that this means here."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from stages.source.roots import ReadRoot, Roots, in_order, labels_of
from vault.archive.lineage import PATH_ROOT


class Reads(BaseModel):
    """Parameter of the stages that find, read or exchange the folders of a service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | None = None
    """Folder; the paths in the archive have no label if there is nothing else."""
    paths: tuple[str, ...] = ()
    """More folders, each under a label."""
    exclude: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    """Folders that belong to packrat: destinations, spool, state."""
    one_file_system: bool = False

    def resolve(self) -> Roots:
        """Return the roots and their folders; raises SourceError if they cannot be looked up."""
        roots = [ReadRoot(label, "folder", path, path) for label, path in self.labels.items()]
        return Roots(in_order(roots), self.exclude, self.never, self.one_file_system)

    @property
    def labels(self) -> dict[str, str]:
        """Label -> folder, of the roots that are named by their folder."""
        folders = [*([self.path] if self.path else []), *self.paths]
        if self.path and not self.paths:
            return {PATH_ROOT: self.path}
        return dict(zip(labels_of(folders), folders, strict=True))

    @property
    def named(self) -> list[str]:
        """What is read, as the configuration names it."""
        return [*([self.path] if self.path else []), *self.paths]

    def describe(self) -> str:
        """Return what is read, and how much of it is left out."""
        count = len(self.exclude)
        patterns = [f"{count} exclude pattern{'s' * (count != 1)}"] if count else []
        return ", ".join([*self.named, *patterns])
