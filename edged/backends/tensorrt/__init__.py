"""TensorRT: bindings, CUDA, engines, and the child process that builds them."""
