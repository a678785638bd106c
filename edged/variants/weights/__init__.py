"""Weights from elsewhere: downloads, TensorFlow Lite and Keras files, conversion to ONNX."""
