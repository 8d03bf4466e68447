"""A client of the topics: requests out, results in. Nothing here knows more of QuantaDB than tables A2 and A3 of the contract."""
import json
import threading
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition


class Client:
    """Remembers every result that came. A result that differs from an earlier one of the same request is a violation."""

    def __init__(self, bootstrap, bucket):
        self.bucket = bucket
        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0, "message.timeout.ms": 300000,
                                  "reconnect.backoff.max.ms": 1000, "log_level": 0})
        self.consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "nobody", "enable.auto.commit": False, "fetch.wait.max.ms": 20,
                                  "reconnect.backoff.max.ms": 1000, "topic.metadata.refresh.interval.ms": 5000, "log_level": 0})
        self.lock = threading.Condition()
        self.results = {}    # request id -> result
        self.contradictions = []
        self.refused = []    # requests that the broker didn't take
        self.ending = False
        self._assign()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _assign(self):
        until = time.monotonic() + 30
        while True:
            topic = self.consumer.list_topics("quanta.results", timeout=10).topics.get("quanta.results")
            if topic is not None and topic.error is None and topic.partitions:
                break
            if time.monotonic() > until:
                raise AssertionError("there is no topic quanta.results")
            time.sleep(0.1)
        self.consumer.assign([TopicPartition("quanta.results", p, OFFSET_BEGINNING) for p in topic.partitions])

    def _read(self):
        while not self.ending:
            m = self.consumer.poll(0.1)
            self.producer.poll(0)
            if m is None or m.error():
                continue
            result = json.loads(m.value())
            with self.lock:
                before = self.results.setdefault(result["request_id"], result)
                if before != result:
                    self.contradictions.append((before, result))
                self.lock.notify_all()

    def send(self, request_id, text, timeout_ms=None):
        headers = [("request-id", request_id)] + ([("timeout-ms", str(timeout_ms))] if timeout_ms else [])

        def delivered(error, _message):
            if error:
                self.refused.append(request_id)
        while True:
            try:
                self.producer.produce("quanta.requests", key=self.bucket, value=text, headers=headers, on_delivery=delivered)
                break
            except BufferError:
                self.producer.poll(0.05)
        self.producer.poll(0)

    def wait(self, request_ids, seconds):
        """True when each of them has a result by then."""
        until = time.monotonic() + seconds
        with self.lock:
            while not all(r in self.results for r in request_ids):
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self.lock.wait(min(left, 0.1))
        return True

    def run(self, request_id, text, seconds=30):
        self.send(request_id, text)
        if not self.wait([request_id], seconds):
            raise AssertionError(f"no result of {request_id} within {seconds} s")
        result = self.results[request_id]
        if result["status"] != "committed":
            raise AssertionError(f"{request_id}: {json.dumps(result)}")
        return result

    def close(self):
        self.ending = True
        self.thread.join()
        self.consumer.close()
