"""Keras' own callbacks, as references for the engine's rules."""

import keras


def keras_factors(losses, schedule, initial):
    """The rate in each epoch over `initial`, as Keras' callback leaves it."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(initial), "mse")
    callback = keras.callbacks.ReduceLROnPlateau(
        "val_loss",
        schedule.factor,
        schedule.patience,
        mode="min",
        min_delta=schedule.min_delta,
        cooldown=schedule.cooldown,
        min_lr=schedule.min_learning_rate,
    )
    callback.set_model(model)
    callback.on_train_begin()
    factors = []
    for epoch, loss in enumerate(losses):
        factors.append(float(model.optimizer.learning_rate.numpy()) / initial)
        callback.on_epoch_end(epoch, {"val_loss": float(loss)})
    return factors
