"""Mistakes that the type check must find, one per line, some of them right for TensorRT 10. Read by mypy, never run."""

from __future__ import annotations

import tensorrt as trt


def planted(builder: trt.Builder, config: trt.IBuilderConfig, engine: trt.ICudaEngine) -> None:
    config.set_flag(trt.BuilderFlag.FP16)  # planted for 11: attr-defined
    config.int8_calibrator = None  # planted for 11: attr-defined
    builder.platform_has_fast_fp16  # planted for 11: attr-defined  # noqa: B018
    1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH)  # planted for 11: attr-defined
    engine.device_memory_size  # planted for 11: attr-defined  # noqa: B018
    engine.get_binding_shape(0)  # planted: attr-defined
    context = engine.create_execution_context()
    context.execute_async_v2([0, 0], 0)  # planted: attr-defined
    context.execute_async_v3("stream")  # planted: arg-type
    context.set_tensor_address(b"w", 0)  # planted: arg-type
    context.set_input_shape("w", 8)  # planted: call-overload
    builder.create_network("strong")  # planted: arg-type
    builder.build_engine(None, config)  # planted: attr-defined
    config.set_timing_cache(config.create_timing_cache(b""))  # planted: call-arg
    trt.OnnxParser(builder, trt.Logger()).parse(b"")  # planted: arg-type


class WrongMonitor(trt.IProgressMonitor):
    def step_complete(self, phase_name: str) -> bool:  # planted: override
        return True


class WrongLog(trt.ILogger):
    def log(self, severity: trt.ILogger.Severity) -> None:  # planted: override
        pass
