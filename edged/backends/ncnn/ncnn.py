"""ncnn on the CPU: runs the networks that edged writes, in float32 or float16, and partly INT8."""

from __future__ import annotations

import mmap
import os
import platform
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from edged.backends.ncnn.layers import NcnnLayers, ncnn_layers
from edged.errors import EdgedError, InputError, MissingPackageError, how_to_install
from edged.variants.runtime import Engines, Runner, UnsupportedNetworkError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edged.variants.family import Network


_REINSTALL = "pip install --force-reinstall ncnn"


class NcnnBackend:
    """fp16: store and compute in float16, where computes_in_fp16. int8: run INT8 networks as well,
    which is worth it where has_dot_product; what is not in INT8 runs in float16 if it can.

    Raises MissingPackageError without ncnn, EdgedError with one that cannot be used.
    """

    name = "ncnn"

    def __init__(self, *, fp16: bool = False, int8: bool = False) -> None:
        self._ncnn = _import_ncnn()
        self.fp16 = fp16
        self._int8 = int8
        self._pool = self._ncnn.PoolAllocator()
        self.version: str = self._ncnn.__version__
        self.engines = Engines()

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        """See Backend. Raises UnsupportedNetworkError for foreign ONNX files, and for INT8 networks
        unless it was made for them."""
        net = self._ncnn.Net()
        try:
            _check_memory(8 * len(model))
            layers = ncnn_layers(model, int8=self._int8)
            self._set_options(net.opt, threads, self.fp16 or (layers.int8 and computes_in_fp16()))
            _check_memory(8 * len(layers.weights))
            loaded = net.load_param_mem(layers.param) == 0 and _load_weights(net, layers.weights)
        except InputError as error:
            raise UnsupportedNetworkError(
                error.what, where=network.path, got=error.got, fix=error.fix
            ) from None
        except (MemoryError, OSError):
            loaded = False
        if not loaded:
            raise EdgedError("not enough memory to load the network", where=network.path)
        # A pool of its own would keep what its largest resolution took. Only now, so that the
        # weights, which may live longer than the pool, lie elsewhere.
        net.opt.blob_allocator = net.opt.workspace_allocator = self._pool
        return _Runner(self._ncnn, net, self._pool, network, layers)

    def describe(self) -> Mapping[str, str]:
        return {
            "backend": self.name,
            "version": self.version,
            "arithmetic": "float16" if self.fp16 else "float32",
            "machine": platform.machine(),
        }

    def _set_options(self, options: Any, threads: int, fp16: bool) -> None:
        options.num_threads = threads
        options.use_fp16_packed = fp16
        options.use_fp16_storage = fp16
        options.use_fp16_arithmetic = fp16


class _Runner:
    def __init__(
        self, ncnn: Any, net: Any, pool: Any, network: Network, layers: NcnnLayers
    ) -> None:
        self._ncnn = ncnn
        self._net = net
        self._pool = pool
        self._network = network
        self._layers = layers
        self._rgb = ncnn.Mat.PixelType.PIXEL_RGB.value

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Runner."""
        return self._extract(image, self._layers.last, self._layers.classes)

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Runner."""
        return self._extract(image, self._layers.pooled, self._layers.channels)

    def _extract(self, image: NDArray[np.uint8], value: int, size: int) -> NDArray[np.float32]:
        """The value with that index, which has that size; what comes after it is not computed."""
        if image.shape[::3] != (1, 3) or image.dtype != np.uint8 or image.size == 0:
            raise self._failure(image)
        height, width = image.shape[1:3]
        image = np.ascontiguousarray(image)  # its memory is read whatever its strides
        try:
            pixels = self._ncnn.Mat.from_pixels(image, self._rgb, width, height)
            pixels.substract_mean_normalize(self._layers.means, self._layers.scales)
            # Nothing may lie in the pool any more when this runner, and the pool with it, is gone.
            with self._net.create_extractor() as extractor:
                extractor.input(0, pixels)
                status, answer = extractor.extract(value)
        except MemoryError:
            raise self._failure(image) from None
        self._pool.clear()  # measured as fast, and saves 20 MB
        if status != 0 or answer.w != size:  # memory did not suffice
            raise self._failure(image)
        values: NDArray[np.float32] = np.array(answer)
        return values

    def _failure(self, image: NDArray[np.uint8]) -> EdgedError:
        return EdgedError(
            f"the network does not run on a picture of shape {image.shape}",
            where=self._network.path,
        )


def _check_memory(size: int) -> None:
    """Raise OSError where as many bytes are not to be had: ncnn, which takes 3 times what the
    weights are in float32 to load them, dies of an allocation that fails meanwhile, and so does
    NumPy where it converts weights.
    """
    mmap.mmap(-1, size + (1 << 22), mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()


def _load_weights(net: Any, weights: bytes) -> bool:
    """Through a file in memory: ncnn's own way to load from memory wants text."""
    with os.fdopen(os.memfd_create("ncnn"), "wb") as file:
        file.write(weights)
        file.flush()
        return bool(net.load_model(f"/proc/self/fd/{file.fileno()}") == 0)


def computes_in_fp16() -> bool:
    """Whether the processor can (asimdhp). Raises MissingPackageError without ncnn."""
    return bool(_import_ncnn().cpu_support_arm_asimdhp())


def _import_ncnn() -> Any:
    # Read once, when its OpenMP is loaded: threads that spin between layers and frames take the
    # core from decoding and heat a small board.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        import ncnn

        version = ncnn.__version__
    except Exception as error:  # an extension module may raise anything when it is loaded
        if isinstance(error, ModuleNotFoundError) and error.name == "ncnn":
            what = "ncnn is not installed"
            raise MissingPackageError(what, "pip install 'edged[ncnn]'", in_deb=True) from error
        raise EdgedError(
            f"ncnn is installed, but cannot be imported: {error}",
            fix=how_to_install(_REINSTALL, in_deb=True),
        ) from error
    check_version(version)
    return ncnn


def check_version(found: str) -> None:
    """Raise EdgedError for a version that holds Python's lock while a network runs."""
    if tuple(map(int, re.findall(r"\d+", found)[:3])) < (1, 0, 20261020):
        raise EdgedError(
            "this version of ncnn blocks all Python threads while a network runs",
            where="ncnn",
            got=found,
            fix="install a newer version: pip install 'edged[ncnn]'",
        )
