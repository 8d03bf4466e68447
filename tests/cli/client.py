#!/usr/bin/python3
"""The specification's four statements as a service would send them: Debian's confluent-kafka, a producer, a consumer, nothing of ours.

Usage: client.py BOOTSTRAP BUCKET FILE   FILE holds the statements; a block BEGIN … COMMIT is one message. Prints one JSON result a line."""
import json
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

DEADLINE_S = 30


def transactions(text):
    """Messages as the specification writes them: a BEGIN … COMMIT block, or one bare statement, each ends its line with ';'."""
    block = []
    for statement in (s.strip() + ";" for s in text.split(";") if s.strip()):
        block.append(statement)
        if not block[0].upper().startswith("BEGIN") or statement.upper() == "COMMIT;":
            yield "\n".join(block)
            block = []
    assert not block, f"not whole: {block}"


def partitions(consumer, topic):
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        found = consumer.list_topics(topic, timeout=DEADLINE_S).topics[topic].partitions  # asking makes it, where the broker allows that
        if found:
            return list(found)
    raise SystemExit(f"{topic} doesn't come into being")


def main():
    bootstrap, bucket, path = sys.argv[1:]
    reply_to = "quanta.reply." + uuid.uuid4().hex
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": reply_to, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 5})
    consumer.assign([TopicPartition(reply_to, p, 0) for p in partitions(consumer, reply_to)])
    errors = []
    producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 0})
    with open(path, encoding="utf-8") as f:
        messages = list(transactions(f.read()))
    for message in messages:
        request_id = str(uuid.uuid4())
        producer.produce("quanta.requests", value=message.encode(), key=bucket.encode(), headers={"request-id": request_id, "reply-to": reply_to},
                         on_delivery=lambda error, _: errors.append(error) if error else None)
        assert producer.flush(DEADLINE_S) == 0 and not errors, errors
        print(json.dumps(wait_for(consumer, request_id)), flush=True)
    consumer.close()


def wait_for(consumer, request_id):
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until:
        message = consumer.poll(0.1)
        if message is None or message.error():
            continue
        result = json.loads(message.value())
        assert message.key().decode() == result["request_id"]
        if result["request_id"] == request_id:
            return result
    raise SystemExit(f"no result for {request_id} within {DEADLINE_S} s")


if __name__ == "__main__":
    main()
