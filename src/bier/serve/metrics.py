"""What Prometheus reads, in a registry of the app's own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
BATCHES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bier_requests", "Requests answered.", ["route", "method", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "bier_request_seconds", "Time of a request.", ["route"], buckets=SECONDS, registry=self.registry
        )
        self.uploads = Gauge("bier_uploads", "Uploads in hand.", registry=self.registry)
        self.batches = Histogram(
            "bier_batch_pictures", "Pictures in a batch of the model.", buckets=BATCHES, registry=self.registry
        )
        self.encoding = Counter("bier_encoding_seconds", "Time spent in the model.", registry=self.registry)
        self.thumbnails = Counter("bier_thumbnails", "Thumbnails served.", ["from"], registry=self.registry)

    def batch(self, pictures: int, seconds: float) -> None:
        self.batches.observe(pictures)
        self.encoding.inc(seconds)

    def request(self, route: str, method: str, status: int, seconds: float) -> None:
        self.requests.labels(route, method, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        return generate_latest(self.registry)
