"""What the gateway does before a request is looked at: TLS, mutual TLS, limits by key and address; its settings in quanta.yaml."""
import os
import signal
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "cli"))
from system import System, equal, has  # noqa: E402


def curl(*args):
    return subprocess.run(["curl", "-sS", "-m", "20", *args], capture_output=True, text=True, timeout=30)


class Gateway:
    def __init__(self, s, settings, expect=None):
        path = s.file("gateway.yaml", f"kafka: {{ bootstrap: \"{s.bootstrap}\" }}\ngateway: {{ port: 0, reply_topic: quanta.reply.http2, {settings} }}\n")
        command = [os.path.join(ROOT, "bin", "quanta-gateway"), "-c", path]
        if expect:
            done = subprocess.run(command, capture_output=True, text=True, timeout=30, env=s.env)
            assert done.returncode != 0, settings
            has(done.stderr, expect)
            return
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=s.env)
        line = self.process.stdout.readline()
        assert line.startswith("ready http="), line
        self.address = line.strip().split("http=")[1]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        equal(self.process.wait(20), 0)
        self.process.stdout.close()


def certificates(directory):
    """A CA, a certificate of the server for 127.0.0.1, one of a client, and one of a stranger."""
    def openssl(*args):
        subprocess.run(["openssl", *args], check=True, capture_output=True, cwd=directory, timeout=30)
    for ca in ("ca", "strangers-ca"):
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{ca}.key", "-out", f"{ca}.pem", "-days", "2", "-subj", f"/CN={ca}")
    with open(os.path.join(directory, "ext"), "w", encoding="utf-8") as f:
        f.write("subjectAltName=IP:127.0.0.1\n")
    for name, ca in (("server", "ca"), ("client", "ca"), ("stranger", "strangers-ca")):
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", f"{name}.pem")


def test_tls(s, d):
    g = Gateway(s, f"tls_certificate: {d}/server.pem, tls_key: {d}/server.key")
    try:
        done = curl("--cacert", f"{d}/ca.pem", f"https://{g.address}/livez")
        has(done.stdout, "ready")
        equal(curl("--cacert", f"{d}/strangers-ca.pem", f"https://{g.address}/livez").returncode, 60)
        equal(curl(f"http://{g.address}/livez").returncode != 0, True)
        equal(curl("--cacert", f"{d}/ca.pem", "--tls-max", "1.1", f"https://{g.address}/livez").returncode != 0, True)
        done = curl("--cacert", f"{d}/ca.pem", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Type: text/plain", "--data", "SHOW BUCKETS;", f"https://{g.address}/bucket/x/query")
        equal(done.stdout != "000", True)
    finally:
        g.stop()


def test_mutual_tls(s, d):
    g = Gateway(s, f"tls_certificate: {d}/server.pem, tls_key: {d}/server.key, tls_client_ca: {d}/ca.pem")
    try:
        def status(*args):
            return curl("--cacert", f"{d}/ca.pem", *args, "-o", "/dev/null", "-w", "%{http_code}", f"https://{g.address}/bucket").stdout
        equal(status("--cert", f"{d}/client.pem", "--key", f"{d}/client.key"), "200")
        equal(status() in ("401", "000"), True)
        equal(status("--cert", f"{d}/stranger.pem", "--key", f"{d}/stranger.key") in ("401", "000"), True)
    finally:
        g.stop()


def test_rate(s, d):
    g = Gateway(s, "rate_per_s: 1, rate_burst: 5")
    try:
        def status(*args):
            return curl("-o", "/dev/null", "-w", "%{http_code}", *args, f"http://{g.address}/nowhere").stdout
        first = [status() for _ in range(12)]
        equal(first[:5], ["404"] * 5)
        equal("429" in first[5:], True)
        limited = curl("-i", f"http://{g.address}/nowhere").stdout
        has(limited.lower(), "429", "retry-after: 1", "rate_limited")
        equal(status("-H", "Authorization: ApiKey other"), "404")  # known by its key: a bucket of its own
        equal({curl("-o", "/dev/null", "-w", "%{http_code}", f"http://{g.address}/livez").stdout for _ in range(10)}, {"200"})
    finally:
        g.stop()


def test_body_limit(s, d):
    g = Gateway(s, "max_body_bytes: 2KiB")
    try:
        equal(curl("-o", "/dev/null", "-w", "%{http_code}", "-H", "Content-Type: text/plain", "--data", "x" * 3000, f"http://{g.address}/bucket/x/query").stdout, "413")
    finally:
        g.stop()


def test_wrong_settings_are_named(s, d):
    Gateway(s, f"tls_key: {d}/server.key", expect="gateway.tls_certificate")
    Gateway(s, f"tls_certificate: {d}/none.pem, tls_key: {d}/server.key", expect="gateway.tls_certificate")
    Gateway(s, f"tls_certificate: {d}/ext, tls_key: {d}/server.key", expect="isn't a PEM file")
    Gateway(s, f"tls_certificate: {d}/server.pem, tls_key: {d}/client.key", expect="gateway.tls_key")
    Gateway(s, "timeout_ms: 70000", expect="gateway.timeout_max_ms")


def main():
    failed = passed = 0
    with tempfile.TemporaryDirectory() as scratch:
        certificates(scratch)
        s = System(os.path.join(scratch, "system"))
        try:
            for name, test in list(globals().items()):
                if not name.startswith("test_"):
                    continue
                try:
                    test(s, scratch)
                    passed += 1
                    print(f"ok    {name}", flush=True)
                except AssertionError as e:
                    failed += 1
                    print(f"FAIL  {name}: {e} (line {e.__traceback__.tb_next.tb_lineno})", flush=True)
        finally:
            s.stop()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
