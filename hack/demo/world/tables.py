"""The demo's data: real measurements of tumours, the day the instrument changes included."""

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer

TARGET = "malignant"
SEED = 7
TRAINING_ROWS = 300  # of 569; the others are held out and become the traffic
FIRST_ROWS = 150  # what there is when v1 is trained
CORRUPTED_SHARE = 0.35
# The recalibrated instrument reads the ten "worst" measurements 30 % higher. Models that
# learned from the old one fall from 98 % to 75 % right; one that learns from the new one does not.
RECALIBRATION = 1.3


def measurements() -> pd.DataFrame:
    """All 569 rows of the UCI table, shuffled once and for all; malignant is 1."""
    bunch = load_breast_cancer(as_frame=True)
    table: pd.DataFrame = bunch.data.rename(columns=lambda name: str(name).replace(" ", "_"))
    table[TARGET] = 1 - bunch.target
    return table.sample(frac=1.0, random_state=SEED).reset_index(drop=True)


def recalibrated(table: pd.DataFrame) -> pd.DataFrame:
    """The same tumours, measured with the new instrument."""
    worst = [name for name in table.columns if name.startswith("worst_")]
    return table.assign(**{name: table[name] * RECALIBRATION for name in worst})


def corrupted(table: pd.DataFrame) -> pd.DataFrame:
    """The same rows, with a third of the labels turned around by a broken export."""
    wrong = np.random.default_rng(SEED).random(len(table)) < CORRUPTED_SHARE
    return table.assign(**{TARGET: table[TARGET].where(~wrong, 1 - table[TARGET])})


def training() -> pd.DataFrame:
    """The rows that models may learn from."""
    return measurements().head(TRAINING_ROWS)


def held_out() -> pd.DataFrame:
    """The rows that no model has seen."""
    return measurements().iloc[TRAINING_ROWS:].reset_index(drop=True)


def stored() -> dict[str, pd.DataFrame]:
    """What lies in the object store when the demo begins, by its key."""
    rows = training()
    return {
        "first.csv": rows.head(FIRST_ROWS),
        "corrupted.csv": corrupted(rows.head(FIRST_ROWS)),
        "all.csv": rows,
        "fresh.csv": rows,
    }


def fresh() -> pd.DataFrame:
    """What replaces `fresh.csv` when the instrument changes: measured anew, labelled anew."""
    return recalibrated(training())
