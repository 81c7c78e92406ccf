"""The pipeline document: one service's run as plain, self-contained data."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import yaml
from msgspec import structs
from pydantic import AfterValidator, Field, ValidationError

from engine.graph import Graph, GraphFaults
from specs.backup import KEEP_REPLACED, TypedDestination
from specs.document import Document, read_documents
from specs.faults import ConfigFaults, Fault
from specs.section import Section
from specs.translate import translate
from specs.values import Duration, Name, Wait, refusal
from stages.confirm import Confirm
from stages.foreign import UnusableKind, misplaced
from stages.given import GIVEN
from stages.kinds import BUILT_IN, kinds_for
from stages.reads import Reads
from stages.upload import Upload


def check_after(params: dict[str, Any]) -> dict[str, Any]:
    """Accept the parameters of a stage if its `after` is a list of names.

    Raises:
        PydanticCustomError: It is something else.
    """
    after = params.get("after", [])
    if not isinstance(after, list) or not all(isinstance(name, str) for name in after):
        raise refusal("its after: is not a list of stages", "write for example after: [collect]")
    return params


Params = Annotated[dict[str, Any], AfterValidator(check_after)]


class Pipeline(Section):
    """Pipeline document: `plan --format yaml` prints it, and `run` executes it."""

    pipeline: Literal[1]
    """The version of this kind of document."""
    job: Literal["backup", "restore", "prune", "verify"] = "backup"
    """The job that it does."""
    service: Name
    """The service whose backups these are."""
    backup: str | None = None
    """The backup to restore: the id of an archive, a prefix of it, or `latest`."""
    to: str | None = None
    """The folder that a restore writes to; without it, the restore is in place."""
    host: str
    """The name of this machine in the archive."""
    key_file: str
    """The file with the key."""
    state_dir: str
    """Folder of locks, caches and journals."""
    spool: str
    """Folder in which the sealed archive waits for its destinations."""
    timeout: Wait | None = None
    """Most seconds that a backup may take; without a limit if left out."""
    keep_replaced: Duration = KEEP_REPLACED
    """Seconds for which what an in-place restore replaced is kept at least."""
    destinations: dict[Name, TypedDestination] = Field(min_length=1)
    """Name -> destination; stages refer to them by name."""
    stages: dict[str, Params] = Field(min_length=1)
    """Name -> {kind, after: [NAME…], parameters…}; `inverse: true` for the way back."""

    @property
    def reads(self) -> Reads | None:
        """Data that a backup reads or a restore in place replaces; None for other jobs."""
        named = (params["read"] for params in self.stages.values() if params.get("read"))
        return next((Reads.model_validate(read) for read in named), None)

    def graph(self) -> Graph:
        """Build the graph.

        Raises:
            GraphFaults: The document is not valid; the error lists every fault.
        """
        faults = [
            f"{name}: there is no destination {where!r}; known: {', '.join(self.destinations)}"
            for name, params in self.stages.items()
            if isinstance(where := params.get("destination"), str)
            and where not in self.destinations
        ]
        try:
            kinds = kinds_for(params.get("kind") for params in self.stages.values())
            graph = Graph.build(self.stages, kinds, GIVEN[self.job])
        except UnusableKind as error:
            raise GraphFaults([f"{self._of_kind(error.kind)}: {error}; {error.hint}"]) from error
        except GraphFaults as error:
            raise GraphFaults([*error.faults, *faults]) from None
        faults += [*_unconfirmed(graph), *misplaced(graph, BUILT_IN)]
        if faults:
            raise GraphFaults(faults)
        return graph

    def _of_kind(self, kind: str) -> str:
        return next(name for name, params in self.stages.items() if params.get("kind") == kind)

    def document(self) -> dict[str, Any]:
        """Return the plain data, with secrets as references."""
        return self.model_dump(mode="json", exclude_none=True)


def _unconfirmed(graph: Graph) -> Iterator[str]:
    """Yield a fault for each upload that is never confirmed, and so never published."""
    for node in graph.order:
        if not isinstance(node.stage, Upload) or node.reversed:
            continue
        below = [one.stage for one in graph.order if one.name in graph.downstream(node.name)]
        confirms = [one.destination for one in below if isinstance(one, Confirm)]
        if node.stage.destination not in confirms:
            yield (
                f"{node.name}: no confirm of the same destination comes after it, so nothing is"
                " published"
            )


def to_yaml(pipelines: list[Pipeline]) -> str:
    """Return pipelines as YAML, one document each."""
    documents = [pipeline.document() for pipeline in pipelines]
    return yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=100)


def is_pipeline(text: str) -> bool:
    """Return whether a text holds pipeline documents rather than a configuration."""
    return any(line.startswith(("pipeline:", '"pipeline":')) for line in text.splitlines())


def load_pipelines(file: str) -> list[Pipeline]:
    """Read the pipeline documents of a file.

    Raises:
        ConfigFaults: The file cannot be read or is not valid; the error lists every fault.
    """
    faults: list[Fault] = []
    pipelines = []
    for document in read_documents(file):
        faults += document.faults
        try:
            pipeline = Pipeline.model_validate(document.data)
            pipeline.graph()
            pipelines.append(pipeline)
        except ValidationError as error:
            faults += translate(error, document, Pipeline)
        except GraphFaults as error:
            faults += [_at_its_stage(what, document) for what in error.faults]
    if faults:
        raise ConfigFaults(faults)
    return pipelines


def _at_its_stage(what: str, document: Document) -> Fault:
    """Return a graph's fault, which begins with a stage's name, at that stage."""
    stages = document.data["stages"]
    of = [name for name in stages if what.startswith((f"{name}:", f"{name}."))]
    path = ("stages", max(of, key=len)) if of else ("stages",)
    fault = document.fault(path, what, at_key=True)
    return structs.replace(fault, where="stages")
