"""The rules that the training data must keep; each answers what it measured if it is broken."""

import pandas as pd

from tidegate.api.v1alpha1.training_job import DataRule
from tidegate.evidence.encode import label_text
from tidegate.runtime.tables import missing_column

SHOWN = 5


def broken(rule: DataRule, index: int, frame: pd.DataFrame, target: str) -> str | None:
    """A sentence that says what is wrong and what to do; None if the rule holds."""
    column = target if rule.check == "LabelBalance" else rule.column or ""
    field = f"spec.data.validation.rules[{index}]"
    if rule.check != "RowCount" and column not in frame.columns:
        raise missing_column(column, frame, "train", f"{field}.column")
    finding = _finding(rule, frame, column)
    if finding is None:
        return None
    subject = rule.check if rule.check == "RowCount" else f"{rule.check} of {column}"
    return f"rules[{index}] ({subject}): {finding}"


def _finding(rule: DataRule, frame: pd.DataFrame, column: str) -> str | None:
    match rule.check:
        case "RowCount":
            return _row_count(rule, len(frame))
        case "MissingRate":
            return _missing_rate(rule, frame, column)
        case "Range":
            return _range(rule, frame, column)
        case "AllowedValues":
            return _allowed_values(rule, frame, column)
        case "Unique":
            return _unique(frame, column)
        case "LabelBalance":
            return _label_balance(rule, frame, column)


def _row_count(rule: DataRule, rows: int) -> str | None:
    if _within(rows, rule):
        return None
    return f"{rows} rows, wanted {_bounds(rule)}; check that the whole table was exported"


def _missing_rate(rule: DataRule, frame: pd.DataFrame, column: str) -> str | None:
    missing = int(frame[column].isna().sum())
    share = missing / len(frame)
    if rule.max is None or share <= float(rule.max):
        return None
    return (
        f"{missing} of {len(frame)} values are missing ({share:.4f}), at most {rule.max} may be; "
        "fill them at the source, or raise max"
    )


def _range(rule: DataRule, frame: pd.DataFrame, column: str) -> str | None:
    found = pd.to_numeric(frame[column].dropna(), errors="coerce")
    if found.isna().any():
        text = frame[column].dropna()[found.isna()].iloc[0]
        return f"{int(found.isna().sum())} values are no numbers, such as {str(text)[:40]!r}"
    outside = found[~found.map(lambda value: _within(value, rule))]
    if outside.empty:
        return None
    return (
        f"{len(outside)} of {len(frame)} values are outside {_bounds(rule)} (smallest "
        f"{found.min():g}, largest {found.max():g}); remove these rows, or widen the bounds"
    )


def _allowed_values(rule: DataRule, frame: pd.DataFrame, column: str) -> str | None:
    allowed = set(rule.values or ())
    texts = frame[column].dropna().map(label_text)
    strange = texts[~texts.isin(allowed)]
    if strange.empty:
        return None
    shown = ", ".join(repr(str(v)[:40]) for v in strange.unique()[:SHOWN])
    return (
        f"{len(strange)} of {len(frame)} values are not allowed, such as {shown}; "
        "mend them at the source, or add them to values"
    )


def _unique(frame: pd.DataFrame, column: str) -> str | None:
    present = frame[column].dropna()
    repeated = present[present.duplicated()]
    if repeated.empty:
        return None
    shown = ", ".join(str(v)[:40] for v in repeated.unique()[:SHOWN])
    return f"{len(repeated)} values occur again, such as {shown}; remove the duplicate rows"


def _label_balance(rule: DataRule, frame: pd.DataFrame, column: str) -> str | None:
    counts = frame[column].dropna().map(label_text).value_counts()
    if counts.empty:
        return "no row has a label"
    share = int(counts.iloc[-1]) / int(counts.sum())
    if len(counts) > 1 and (rule.min is None or share >= float(rule.min)):
        return None
    return (
        f"the rarest label {counts.index[-1]!r} has {int(counts.iloc[-1])} of "
        f"{int(counts.sum())} rows ({share:.4f}) among {len(counts)} labels, wanted at least "
        f"{rule.min}; add rows of that label, or lower min"
    )


def _within(value: float, rule: DataRule) -> bool:
    above = rule.min is None or value >= float(rule.min)
    below = rule.max is None or value <= float(rule.max)
    return above and below


def _bounds(rule: DataRule) -> str:
    if rule.max is None:
        return f"{rule.min} or more"
    return f"{rule.max} or less" if rule.min is None else f"{rule.min} to {rule.max}"
