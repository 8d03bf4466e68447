"""A quanta dev with auth.mode on, and two clients of it: HTTP, and Kafka by Debian's confluent-kafka."""
import base64
import hashlib
import hmac
import http.client
import json
import os
import secrets
import sys
import time
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
from system import System  # noqa: E402

ISSUER, AUDIENCE = "https://issuer.test", "quanta"
SECRET = b"permission suite: a secret of more than 32 bytes"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def token(sub, roles=(), secret=SECRET, header=None, **claims):
    head = {"alg": "HS256", "kid": "suite", "typ": "JWT"} if header is None else header
    now = int(time.time())
    body = {"iss": ISSUER, "aud": AUDIENCE, "sub": sub, "exp": now + 600, "roles": list(roles), **claims}
    body = {k: v for k, v in body.items() if v is not None}
    signed = b64(json.dumps(head).encode()) + "." + b64(json.dumps(body).encode())
    return "Bearer " + signed + "." + b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())


def api_key(bucket, name):
    text = f"{bucket}.{name}." + b64(secrets.token_bytes(32))
    return text, hashlib.blake2b(text.encode(), digest_size=32).hexdigest()


def jwks(*kids, secret=SECRET):
    return json.dumps({"keys": [{"kty": "oct", "kid": kid, "alg": "HS256", "k": b64(secret)} for kid in kids]})


class Suite:
    def __init__(self, scratch):
        admin = "admin." + b64(secrets.token_bytes(32))
        self.admin = "ApiKey " + admin
        self.keyset = os.path.join(scratch, "jwks.json")
        with open(self.keyset, "w") as f:
            f.write(jwks("suite"))
        settings = os.path.join(scratch, "quanta.yaml")
        with open(settings, "w") as f:
            f.write(f"""auth:
  mode: "on"
  jwks_file: jwks.json
  jwks_refresh_s: 1
  issuer: {ISSUER}
  audience: {AUDIENCE}
  admin_role: quanta_admin
  allow_hs256: true
  leeway_s: 0
  admin_key_hash: {hashlib.blake2b(admin.encode(), digest_size=32).hexdigest()}
""")
        self.settings = settings
        self.system = System(scratch, start=False)
        self.system.start("-c", settings)
        self.connect()

    def connect(self):
        self.http = http.client.HTTPConnection(self.system.http, timeout=30)
        self.producer = Producer({"bootstrap.servers": self.system.bootstrap, "linger.ms": 0})
        self.reply_to = "quanta.reply." + uuid.uuid4().hex
        self.consumer = Consumer({"bootstrap.servers": self.system.bootstrap, "group.id": self.reply_to, "auto.offset.reset": "earliest", "fetch.wait.max.ms": 2})
        until = time.monotonic() + 30
        while not (found := list(self.consumer.list_topics(self.reply_to, timeout=30).topics[self.reply_to].partitions)):
            assert time.monotonic() < until
        self.consumer.assign([TopicPartition(self.reply_to, p, 0) for p in found])

    def call(self, method, path, who, body=None, type="text/plain", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        if who:
            headers["Authorization"] = who
        if body is not None:
            headers["Content-Type"] = type
        self.http.request(method, path, body, headers)
        answer = self.http.getresponse()
        return answer.status, json.loads(answer.read() or b"null")

    def rest(self, bucket, text, who):
        status, answer = self.call("POST", f"/bucket/{bucket}/query", who, text.encode())
        if "results" in answer:
            return answer
        return {"status": "refused", "http": status, "error": {k: answer.get(k) for k in ("code", "detail", "hint")} | {"message": answer.get("detail")}, "problem": answer}

    def kafka(self, bucket, text, who):
        request_id = uuid.uuid4().hex
        headers = {"request-id": request_id, "reply-to": self.reply_to}
        if who:
            headers["authorization"] = who
        self.producer.produce("quanta.requests", value=text.encode(), key=bucket.encode(), headers=headers)
        assert self.producer.flush(30) == 0
        until = time.monotonic() + 30
        while time.monotonic() < until:
            message = self.consumer.poll(1)
            if message is None or message.error():
                continue
            answer = json.loads(message.value())
            if answer["request_id"] == request_id:
                return answer
        raise AssertionError("no result")

    def admin_does(self, bucket, *statements):
        for text in statements:
            answer = self.rest(bucket, text, self.admin)
            assert answer["status"] == "committed", (text, answer)

    def log(self):
        with open(self.system.log, errors="replace") as f:
            return [json.loads(line) for line in f if line.startswith("{")]

    def close(self):
        self.system.close()


def code_of(answer):
    return (answer.get("error") or {}).get("code")
