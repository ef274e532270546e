"""Messages of TF Serving's configuration files that the package tensorflow-serving-api leaves out.

Names, numbers and types of the fields are those of TF Serving's servables/tensorflow/session_bundle_config.proto,
config/monitoring_config.proto and config/ssl_config.proto. They live in a pool of their own, so that a release of the
package that has them can do no harm.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

_Field = descriptor_pb2.FieldDescriptorProto
_INT64, _BOOL, _STRING, _MESSAGE = _Field.TYPE_INT64, _Field.TYPE_BOOL, _Field.TYPE_STRING, _Field.TYPE_MESSAGE
_WRAPPED_INT64 = ".google.protobuf.Int64Value"

# message -> (field, number, type, name of the type if it is a message, repeated)
_MESSAGES = {
    "BatchingParameters": (
        ("max_batch_size", 1, _MESSAGE, _WRAPPED_INT64, False),
        ("batch_timeout_micros", 2, _MESSAGE, _WRAPPED_INT64, False),
        ("max_enqueued_batches", 3, _MESSAGE, _WRAPPED_INT64, False),
        ("num_batch_threads", 4, _MESSAGE, _WRAPPED_INT64, False),
        ("thread_pool_name", 5, _MESSAGE, ".google.protobuf.StringValue", False),
        ("allowed_batch_sizes", 6, _INT64, "", True),
        ("pad_variable_length_inputs", 7, _BOOL, "", False),
    ),
    "PrometheusConfig": (("enable", 1, _BOOL, "", False), ("path", 2, _STRING, "", False)),
    "MonitoringConfig": (("prometheus_config", 1, _MESSAGE, ".tensorflow.serving.PrometheusConfig", False),),
    "SSLConfig": (
        ("server_key", 1, _STRING, "", False),
        ("server_cert", 2, _STRING, "", False),
        ("custom_ca", 3, _STRING, "", False),
        ("client_verify", 4, _BOOL, "", False),
    ),
}


def _build() -> dict[str, type]:
    file = descriptor_pb2.FileDescriptorProto(
        name="serving/config_files.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, type_name, repeated in fields:
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            added = declared.field.add(name=name, number=number, type=kind, label=label)
            if type_name:
                added.type_name = type_name
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    described = pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(descriptor)
        for name, descriptor in described.message_types_by_name.items()
    }


_CLASSES = _build()
BatchingParameters = _CLASSES["BatchingParameters"]
MonitoringConfig = _CLASSES["MonitoringConfig"]
SSLConfig = _CLASSES["SSLConfig"]
