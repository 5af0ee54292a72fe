"""scikit-learn's MLPClassifier: one `partial_fit` is one pass over the data. Dense networks only."""
import numpy as np
import sklearn
from sklearn.neural_network import MLPClassifier


class Peer:
    def __init__(self, model, images, labels, threads):
        hidden = [units for kind, *settings in model.layers[:-1] if kind == "dense" for units in settings]
        self.model = MLPClassifier(hidden, solver=model.optimizer, alpha=0, batch_size=model.batch,
                                   learning_rate_init=model.rate, momentum=0, nesterovs_momentum=False, random_state=0)
        self.images, self.labels = images, labels

    def epoch(self):
        """Train on every image once."""
        self.model.partial_fit(self.images, self.labels, classes=np.arange(10))

    def predict(self, images):
        """Probabilities of one batch, shaped (n, 10)."""
        return self.model.predict_proba(images)

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}"
