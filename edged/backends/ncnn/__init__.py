"""ncnn on the processor's cores: ncnn.py runs, layers.py makes its layers from an ONNX file."""
