"""A TRM or an HRM -> an ONNX step graph whose state the host feeds back; held against torch before it is written."""
