"""The room of devices that time a model (empty until the ONNX step graphs arrive)."""
