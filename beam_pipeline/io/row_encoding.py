"""Rows as BigQuery's Storage Write API takes them: protobuf messages, described by the columns.

The messages are made from a table's schema when the worker starts, so that the schema files
of templates/bigquery stay the only place where columns are named.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.cloud.bigquery import SchemaField
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MAX_ROW_BYTES = 9_000_000  # of BigQuery's 10 MB a request
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
FILE, PACKAGE, ROW = "testudo_row.proto", "testudo_row", "Row"
_Field = descriptor_pb2.FieldDescriptorProto
# What a column's value is in a message; a timestamp is in microseconds since 1970.
TYPES = {
    "STRING": _Field.TYPE_STRING,
    "BYTES": _Field.TYPE_BYTES,
    "INTEGER": _Field.TYPE_INT64,
    "FLOAT": _Field.TYPE_DOUBLE,
    "BOOLEAN": _Field.TYPE_BOOL,
    "TIMESTAMP": _Field.TYPE_INT64,
}


class UnencodableError(ValueError):
    """A row that no request can hold: a value that its column cannot have, or an unknown one."""


class RowEncoder:
    """Encodes rows of one schema; timestamps are RFC 3339 in the row, and none is nested."""

    def __init__(self, schema: Iterable[SchemaField]) -> None:
        columns = list(schema)
        self.descriptor = _described(ROW, columns)  # as a request says it
        self._times = [one.name for one in columns if one.field_type == "TIMESTAMP"]
        file = descriptor_pb2.FileDescriptorProto(name=FILE, package=PACKAGE, syntax="proto2")
        file.message_type.add().CopyFrom(self.descriptor)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(file)
        found = pool.FindMessageTypeByName(f"{PACKAGE}.{ROW}")
        self._message = message_factory.GetMessageClass(found)

    def encode(self, row: Mapping[str, Any]) -> bytes:
        """The row as one message. Raises UnencodableError."""
        try:
            times = {name: _microseconds(row[name]) for name in self._times if row.get(name)}
            data = bytes(self._message(**{**row, **times}).SerializeToString())
        except (TypeError, ValueError) as error:
            raise UnencodableError(str(error)) from error
        if len(data) > MAX_ROW_BYTES:
            raise UnencodableError(f"{len(data):,} bytes, a request holds {MAX_ROW_BYTES:,}")
        return data


def _microseconds(time: str) -> int:
    return (datetime.fromisoformat(time) - EPOCH) // MICROSECOND


def _described(name: str, columns: Iterable[SchemaField]) -> descriptor_pb2.DescriptorProto:
    message = descriptor_pb2.DescriptorProto(name=name)
    for number, column in enumerate(columns, 1):
        repeated = column.mode == "REPEATED"
        label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
        field = message.field.add(name=column.name, number=number, label=label)
        if column.field_type == "RECORD":
            nested = _described(f"{column.name.title()}_", column.fields)
            message.nested_type.append(nested)
            field.type, field.type_name = _Field.TYPE_MESSAGE, nested.name
        else:
            field.type = TYPES[column.field_type]
    return message
