"""Run by test_real_keras.py in a process of its own: models that Keras 3 itself builds and saves.

Each has batch norms that fit what goes through them, and scores that depend on the picture, so
that a wrong reading shows. Writes NAME.keras, NAME.h5 and NAME.npz (pictures and their scores).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras
import numpy as np
from keras import layers

SIDE = 96
RANDOM = np.random.default_rng(0)


def pictures(channels: int) -> np.ndarray:
    """Uint8 values as float32: coarse colours and grain."""
    coarse = RANDOM.integers(0, 256, (8, 4, 4, channels)).repeat(24, axis=1).repeat(24, axis=2)
    grain = RANDOM.normal(0, 20, (8, SIDE, SIDE, channels))
    return np.clip(coarse + grain, 0, 255).round().astype(np.float32)


def base(alpha: float, channels: int = 3, **choices: object) -> keras.Model:
    made = keras.applications.MobileNet(
        input_shape=(SIDE, SIDE, channels), alpha=alpha, weights=None, **choices
    )
    for layer in made.layers:
        if isinstance(layer, layers.BatchNormalization):
            count = layer.gamma.shape[0]
            gamma, beta = RANDOM.normal(1, 0.2, count), RANDOM.normal(0.5, 0.3, count)
            layer.set_weights([gamma, beta, np.zeros(count), np.ones(count)])
            layer.momentum = 0.0  # one pass sets what it divides by
    return made


def transfer_learning(preprocessing: str, alpha: float = 0.25) -> keras.Model:
    """As Keras's transfer-learning guide does it."""
    inputs = keras.Input((SIDE, SIDE, 3))
    value = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(inputs))
    if preprocessing == "rescaling":
        value = layers.Rescaling(1 / 127.5, offset=-1)(value)
    elif preprocessing == "normalization":
        norm = layers.Normalization()
        norm.adapt(pictures(3))
        value = norm(value)
    else:
        value = keras.applications.mobilenet.preprocess_input(value)
    value = base(alpha, include_top=False)(value)
    value = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(value))
    return keras.Model(inputs, layers.Dense(3, activation="softmax")(value))


def edge_impulse(alpha: float, channels: int = 3, activation: str = "softmax") -> keras.Model:
    """As Edge Impulse's MobileNet v1 blocks do it: cut behind the average over the picture."""
    body = base(alpha, channels)
    model = keras.Sequential([keras.Input((SIDE, SIDE, channels))])
    model.add(layers.Rescaling(1 / 127.5, offset=-1))
    model.add(keras.Model(body.inputs, body.layers[-5].output))
    model.add(layers.Reshape((-1, body.layers[-5].output.shape[3])))
    model.add(layers.Dense(16, activation="relu"))
    model.add(layers.Dropout(0.1))
    model.add(layers.Flatten())
    model.add(layers.Dense(1 if activation == "sigmoid" else 4, activation=activation))
    return model


def main(folder: Path) -> None:
    models = {
        "guide": transfer_learning("rescaling"),
        "guide_preprocess": transfer_learning("preprocess_input", 0.5),
        "guide_normalization": transfer_learning("normalization"),
        "edge_0.1": edge_impulse(0.1),
        "edge_0.2": edge_impulse(0.2, activation="sigmoid"),
        "edge_0.25_grey": edge_impulse(0.25, channels=1),
    }
    for name, model in models.items():
        seen = pictures(model.input_shape[3])
        model(seen, training=True)
        last = model.layers[-1]
        features = keras.Model(model.inputs, model.layers[-2].output).predict(seen, verbose=0)
        weight = RANDOM.normal(size=last.kernel.shape)
        weight *= 2 / (features @ weight).std(axis=0)
        last.set_weights([weight, -(features @ weight).mean(axis=0)])
        np.savez(
            folder / f"{name}.npz",
            pictures=seen.astype(np.uint8),
            scores=model.predict(seen, verbose=0),
        )
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
    version2 = keras.applications.MobileNetV2(
        input_shape=(SIDE, SIDE, 3), alpha=0.35, weights=None, classes=3
    )
    version2.save(folder / "version2.keras")
    version2.save(folder / "version2.h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
