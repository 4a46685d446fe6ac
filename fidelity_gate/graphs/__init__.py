"""ONNX files as plain values: read, wired and paired; nothing here runs a graph."""
