"""The datatypes of Open Inference Protocol v2: what is counted of bytes is what the model reads."""

from collections.abc import Mapping

NUMPY_TYPES: Mapping[str, str] = {
    "BOOL": "?",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
"""Those that numpy has, little-endian as they are sent; texts (BYTES) and BF16 are none of them."""
