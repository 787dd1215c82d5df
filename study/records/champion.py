"""Names inside a champion's files, which what writes them shares with what reads them. This module is logged with the model."""

MEMBERS = "members"  # the Keras model's layer with each network's own prediction, [n, R, outputs]
ENCODED = "encoded"  # the SavedModel's signature that takes the networks' inputs
# columns of its predictions, beside the targets or classes
LIKELIEST, PROBABILITY, SPREAD = "predicted class", "its probability", "SD over members"
ERRORS = "out_of_fold_errors"  # in the metadata; null for rows in time
THRESHOLD = "decision_threshold"  # in the metadata, of two classes where the settings ask for one
