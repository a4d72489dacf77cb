"""The stage `validate`: the data's columns and rules, before any compute is spent on training."""

from tidegate.api.names import Reason
from tidegate.runtime.job import Job, Workspace
from tidegate.runtime.outcome import StageError
from tidegate.runtime.rules import broken
from tidegate.runtime.tables import kinds_of, read_tables


def validate(job: Job, work: Workspace) -> dict[str, object]:
    """Check all rules; the first broken one is named as the field, all are told."""
    data = job.spec.data
    tables = read_tables(data, work)
    kinds_of(tables.train, tables.features, job.spec.trainer.sklearn.preprocessing)
    findings: dict[int, str] = {}
    for index, rule in enumerate(data.validation.rules):
        finding = broken(rule, index, tables.train, data.target)
        print(finding or f"rules[{index}] ({rule.check}): holds", flush=True)
        if finding:
            findings[index] = finding
    if findings and data.validation.on_failure == "Fail":
        first = min(findings)
        raise StageError(
            Reason.DATA_INVALID,
            "spec.data.validation." + "; ".join(findings.values()),
            field=f"spec.data.validation.rules[{first}]",
        )
    return {"rows": len(tables.train), "warnings": list(findings.values())}
