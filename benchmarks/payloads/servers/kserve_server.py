"""A model behind KServe's own server and codecs: arguments are a port and an empty folder.

KServe's sklearn server is on no package index; it is the library's `ModelServer` and the two
functions from its `utils` that are used here.
"""

import sys
from typing import Any

import kserve
from kserve.utils.utils import get_predict_input, get_predict_response
from sklearn.linear_model import LogisticRegression


class Linear(kserve.Model):  # type: ignore[misc] # not typed
    """Tells apart two heaps of points."""

    def __init__(self) -> None:
        super().__init__("m")
        rows = [[1.0, 2.0], [2.0, 1.0], [5.0, 6.0], [6.0, 5.0]]
        self._model = LogisticRegression().fit(rows, [0, 0, 1, 1])
        self.ready = True

    def predict(self, payload: Any, headers: Any = None, response_headers: Any = None) -> Any:
        rows = get_predict_input(payload)
        return get_predict_response(payload, self._model.predict(rows), self.name)


kserve.ModelServer(
    http_port=int(sys.argv[1]), workers=1, enable_grpc=False, access_log_format=None
).start([Linear()])
