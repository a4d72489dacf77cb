"""The messages of Open Inference Protocol v2 over gRPC.

They are built from the table below when the module is loaded: the protocol's field numbers are all
that there is to know, and code that a compiler generates would have to be kept in step with it.
Fields that are not in the table (parameters) are skipped by the parser, as unknown ones always are.
"""

from collections.abc import Iterator
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "inference"
SERVICE = f"{PACKAGE}.GRPCInferenceService"

_Field = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}
_MODEL = "name 1 string", "version 2 string"
_TENSOR = "name 1 string", "datatype 2 string", "shape 3 int64*"
_WITH_CONTENTS = *_TENSOR, "contents 5 InferTensorContents"
# Name, number and type of each field; a type that ends in * is repeated.
_MESSAGES: dict[str, tuple[str, ...]] = {
    "ServerLiveResponse": ("live 1 bool",),
    "ServerReadyResponse": ("ready 1 bool",),
    "ServerMetadataResponse": ("name 1 string", "version 2 string", "extensions 3 string*"),
    "ModelReadyRequest": _MODEL,
    "ModelReadyResponse": ("ready 1 bool",),
    "ModelMetadataRequest": _MODEL,
    "ModelMetadataResponse": (
        "name 1 string",
        "versions 2 string*",
        "platform 3 string",
        "inputs 4 TensorMetadata*",
        "outputs 5 TensorMetadata*",
    ),
    "TensorMetadata": _TENSOR,
    "InferTensorContents": (
        "bool_contents 1 bool*",
        "int_contents 2 int32*",
        "int64_contents 3 int64*",
        "uint_contents 4 uint32*",
        "uint64_contents 5 uint64*",
        "fp32_contents 6 float*",
        "fp64_contents 7 double*",
        "bytes_contents 8 bytes*",
    ),
    "InferInputTensor": _WITH_CONTENTS,
    "InferRequestedOutputTensor": ("name 1 string",),
    "InferOutputTensor": _WITH_CONTENTS,
    "ModelInferRequest": (
        "model_name 1 string",
        "model_version 2 string",
        "id 3 string",
        "inputs 5 InferInputTensor*",
        "outputs 6 InferRequestedOutputTensor*",
        "raw_input_contents 7 bytes*",
    ),
    "ModelInferResponse": (
        "model_name 1 string",
        "model_version 2 string",
        "id 3 string",
        "outputs 5 InferOutputTensor*",
        "raw_output_contents 6 bytes*",
    ),
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="open_inference.proto", package=PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        file.message_type.add(name=name, field=_fields(fields))
    return file


def _fields(lines: tuple[str, ...]) -> Iterator[descriptor_pb2.FieldDescriptorProto]:
    for line in lines:
        name, number, kind = line.split()
        repeated, kind = kind.endswith("*"), kind.rstrip("*")
        field = _Field(
            name=name,
            number=int(number),
            label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
            type=_TYPES.get(kind, _Field.TYPE_MESSAGE),
        )
        if kind not in _TYPES:
            field.type_name = f".{PACKAGE}.{kind}"
        yield field


def message_types() -> dict[str, Any]:
    """A class for each message, by its name."""
    # A pool of our own: another library in the process may bring the protocol's own file along.
    pool = descriptor_pool.DescriptorPool()
    found = pool.Add(_file()) or pool.FindFileByName("open_inference.proto")
    types = found.message_types_by_name.values()
    return {t.name: message_factory.GetMessageClass(t) for t in types}
