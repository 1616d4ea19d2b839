# SPDX-License-Identifier: Apache-2.0
"""nib pull, nib models, nib doctor and names of models, against a hub that behaves (hub_server.py) and one that does not.

usage: test_hub_pull.py NIB SOURCE_FOLDER [KILLS] [TEST..]. Each test has a hub and a cache of its own; they run side by
side. Those named wide_ run only where they are named.
"""
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from hub_server import COMMIT, Hub, Repo

NIB, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
KILLS = int(sys.argv[3]) if len(sys.argv) > 3 else 10
TINY = {p.name: p.read_bytes() for p in (ROOT / "test/data/nib/tiny").iterdir()}
ONNX = (ROOT / "test/data/onnx/linear.onnx").read_bytes()
TOKEN = "hf_SecretOfThisTest"
UNKNOWN = json.dumps({"model_type": "none_that_nib_knows", "architectures": ["NoneModel"]}).encode()
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


def tiny(extra=(), **more):
    return Repo({**TINY, "README.md": b"# tiny", ".gitattributes": b"x", **dict(extra)}, large={"model.safetensors", "onnx/model.onnx"}, **more)


class Case:
    """A hub, a folder with a cache, and the command."""

    def __init__(self, repos=None, certificate=None):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="nib-hub-"))
        self.hub = Hub(repos if repos is not None else {"org/tiny": tiny()}, certificate)
        self.env = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS", "TSAN_OPTIONS")}
        self.env.update(HOME=str(self.work), HF_HOME=str(self.work / "hf"), HF_ENDPOINT=self.hub.endpoint)
        self.said = ""

    def __enter__(self):
        self.hub.__enter__()
        return self

    def __exit__(self, *args):
        self.hub.__exit__()
        shutil.rmtree(self.work, ignore_errors=True)

    def run(self, code, pattern, *command, **env):
        r = subprocess.run([NIB, *command], env={**self.env, **env}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, cwd=self.work)
        text = (r.stdout + b"|" + r.stderr).decode("utf-8", "replace")
        self.said += text
        assert r.returncode == code and re.search(pattern, text), f"nib {' '.join(command)}: exit {r.returncode}, wanted {code} and /{pattern}/:\n{text[:1200]}"
        return text

    def pull(self, code=0, pattern="", *more, **env):
        return self.run(code, pattern, "pull", "org/tiny", *more, **env)

    @property
    def repo(self):
        return self.work / "hf/hub/models--org--tiny"

    def snapshot(self, commit=COMMIT):
        return self.repo / "snapshots" / commit

    def files(self, commit=COMMIT):
        s = self.snapshot(commit)
        return sorted(str(p.relative_to(s)) for p in s.rglob("*") if not p.is_dir())

    def check(self, *names, commit=COMMIT):
        """The snapshot has exactly these files, whole, and nothing is on its way."""
        repo = self.hub.repos["org/tiny"]
        assert self.files(commit) == sorted(names), self.files(commit)
        for name in names:
            assert (self.snapshot(commit) / name).read_bytes() == repo.files[name], name
        assert not list(self.repo.glob("blobs/*.incomplete"))

    def asked(self, method, end, cdn=False):
        log = self.hub.cdn.log if cdn else self.hub.log
        return [headers for m, path, headers in log if m == method and path.endswith(end)]


# ---------------------------------------------------------------- the cache

def test_layout():
    with Case() as c:
        text = c.pull(0, re.escape(str(c.snapshot())))
        assert "model.safetensors" in text and "README" not in text, text
        c.check(*TINY)
        assert (c.repo / "refs/main").read_bytes() == COMMIT.encode()
        repo = c.hub.repos["org/tiny"]
        for name in TINY:
            link = c.snapshot() / name
            assert os.readlink(link) == "../../blobs/" + repo.etag(name)
            assert (c.work / "hf/hub/.locks/models--org--tiny" / (repo.etag(name) + ".lock")).exists()
        assert (c.work / "hf/hub/CACHEDIR.TAG").read_bytes().startswith(b"Signature: 8a477f597d28d172789f06886806bc55")
        before = len(c.hub.log), len(c.hub.cdn.log)
        c.pull()
        assert (len(c.hub.log), len(c.hub.cdn.log)) == (before[0] + 1, before[1]), "what is there was asked for again"
        # a branch with a slash, and a commit, mean the same files
        repo.revisions.add("refs/pr/1")
        c.run(0, COMMIT, "pull", "org/tiny@refs/pr/1")
        assert (c.repo / "refs/refs/pr/1").read_text() == COMMIT
        c.run(0, COMMIT, "pull", f"org/tiny@{COMMIT}")
        assert not (c.repo / "refs" / COMMIT).exists()
        assert len(c.hub.cdn.log) == 1


def test_a_new_commit():
    with Case() as c:
        c.pull()
        old = c.hub.repos["org/tiny"]
        new = tiny({"tokenizer.json": TINY["tokenizer.json"] + b"\n"}, commit=OTHER)
        c.hub.repos["org/tiny"] = new
        c.hub.faults["tokenizer.json"] = lambda r: r.answer(404) or True
        c.pull(2, "refused with HTTP 404")
        assert (c.repo / "refs/main").read_text() == COMMIT, "a pull that failed changed what the name means"
        c.run(0, "tokenizer", "inspect", "org/tiny")
        del c.hub.faults["tokenizer.json"]
        c.pull(0, OTHER)
        c.check(*TINY, commit=OTHER)
        assert (c.repo / "refs/main").read_text() == OTHER
        assert len(c.asked("GET", "model.safetensors", cdn=True)) == 1, "a blob that is there was fetched again"
        c.hub.repos["org/tiny"] = old
        c.check(*TINY)


def test_without_links():
    with Case() as c:
        c.pull(HF_HUB_DISABLE_SYMLINKS="1")
        c.check(*TINY)
        assert not any((c.snapshot() / n).is_symlink() for n in TINY)
        c.run(0, "embed", "inspect", "org/tiny")
        c.pull(HF_HUB_DISABLE_SYMLINKS="1")
        assert len(c.hub.cdn.log) == 1
    with Case() as c:  # blobs that a cache with links has are copied
        c.pull()
        c.hub.repos["org/tiny"] = tiny(commit=OTHER)
        c.pull(HF_HUB_DISABLE_SYMLINKS="1")
        c.check(*TINY, commit=OTHER)
        c.check(*TINY)
        assert len(c.hub.cdn.log) == 1 and not (c.snapshot(OTHER) / "config.json").is_symlink()


def test_two_at_once():
    with Case() as c:
        gate = threading.Event()
        c.hub.faults["cdn"] = lambda r: gate.wait(10) and False
        both = [subprocess.Popen([NIB, "pull", "org/tiny"], env=c.env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
        while len(c.asked("HEAD", "model.safetensors")) < 2:
            time.sleep(0.01)
        time.sleep(0.1)
        gate.set()
        for p in both:
            assert p.wait(30) == 0, p.stderr.read()
        c.check(*TINY)
        assert len(c.hub.cdn.log) == 1, "both fetched the same"


# ---------------------------------------------------------------- which files

def test_weights():
    files = {"onnx/model.onnx": ONNX, "onnx/model.onnx_data": b"data", "onnx/model_q4.onnx": ONNX, "pytorch_model.bin": b"x", "1_Pooling/config.json": b"{}"}
    small = ["config.json", "tokenizer.json", "1_Pooling/config.json"]
    for options, weights in (((), ["model.safetensors"]), (("--safetensors",), ["model.safetensors"]), (("--onnx",), ["onnx/model.onnx", "onnx/model.onnx_data"]),
                             (("--include", "onnx/model_q4*", "--include", "README*"), ["onnx/model_q4.onnx", "README.md"])):
        with Case({"org/tiny": tiny(files)}) as c:
            c.pull(0, "", *options)
            c.check(*small, *weights)
    with Case({"org/tiny": tiny({**files, "config.json": UNKNOWN})}) as c:  # a family that nib does not build
        c.pull()
        c.check(*small, "onnx/model.onnx", "onnx/model.onnx_data")
        c.pull(0, "", "--safetensors")
        c.run(0, r"file +onnx/model.onnx \(not its safetensors: model_type 'none_that_nib_knows'", "inspect", "org/tiny")
    with Case({"org/tiny": tiny({"config.json": UNKNOWN})}) as c:
        c.pull(2, "has no ONNX file, and its safetensors are not read: model_type .none_that_nib_knows")
        assert not (c.repo / "refs").exists()
        c.pull(2, "has no onnx/model.onnx", "--onnx")
        c.pull(2, "no file that matches 'x[*]'", "--include", "x*")
        c.pull(2, "--include says which files", "--include", "x*", "--onnx")
        c.pull(2, "give --onnx or --safetensors, not both", "--onnx", "--safetensors")
    with Case({"org/tiny": Repo({"config.json": TINY["config.json"], "pytorch_model.bin": b"x"})}) as c:
        c.pull(2, "pytorch_model.bin, a pickle, which nib does not read")
        assert not c.hub.cdn.log and not c.asked("GET", ".bin")
    shards = {"model.safetensors.index.json": b"{}", "model-00001-of-00002.safetensors": b"a", "model-00002-of-00002.safetensors": b"b"}
    with Case({"org/tiny": Repo({"config.json": TINY["config.json"], **shards})}) as c:
        c.pull()
        c.check("config.json", *shards)


def test_which_file_is_opened():
    forms = ["model_fp16", "model_int8", "model_q4"]
    with Case({"org/tiny": Repo({"config.json": b"{}", **{f"onnx/{f}.onnx": ONNX for f in forms}})}) as c:
        c.pull(0, "", "--include", "onnx/*")
        c.run(0, r"file +onnx/model_fp16.onnx \(there is no model.safetensors; the model in half precision\)", "inspect", "org/tiny")
        (c.snapshot() / "onnx/model_fp16.onnx").unlink()
        c.run(0, r"file +onnx/model_int8.onnx", "inspect", "org/tiny")
        c.run(0, r"file +onnx/model_q4.onnx", "inspect", "org/tiny", "--precision", "q4")
        text = c.run(0, r"model +.*/onnx/model_q4.onnx \(ONNX file\)", "inspect", "org/tiny:onnx/model_q4.onnx")
        assert "\nfile " not in text
        c.run(2, "onnx/model_bnb4.onnx of org/tiny is not in the cache: `nib pull org/tiny --include 'onnx/model_bnb4.onnx[*]'`", "inspect",
              "org/tiny:onnx/model_bnb4.onnx")
        c.hub.repos["org/tiny"].files["onnx/model_bnb4.onnx"] = ONNX
        c.run(0, "model_bnb4.onnx", "inspect", "org/tiny:onnx/model_bnb4.onnx", "--pull")


# ---------------------------------------------------------------- names in place of paths

def test_every_verb():
    with Case() as c:
        for verb in ("embed", "classify", "run", "inspect", "explain", "tokenize", "profile", "tune", "optimize", "export", "compile", "quantize", "doctor"):
            c.run(2, "org/tiny is not in the cache .*: `nib pull org/tiny` fetches it", verb, "--model", "org/tiny")
        c.run(2, "`nib pull org/other`", "diff", "org/other", "org/tiny")
        assert not c.hub.log, "a server was asked"
        vector = c.run(0, r'"embedding"', "embed", "--pull", "--model", "org/tiny", "ink")
        assert len(c.asked("GET", "revision/main")) == 1
        assert vector.split("|")[0] == c.run(0, "", "embed", "--pull", "--model", "org/tiny", "ink").split("|")[0]
        assert len(c.asked("GET", "revision/main")) == 1, "what is in the cache was pulled"
        c.hub.__exit__()  # from here on there is no server
        for verb, more in (("inspect", ()), ("explain", ()), ("tokenize", ("ink",)), ("optimize", ("-o", "a.onnx")), ("export", ("-o", "b")),
                           ("compile", ("-o", "c.nib")), ("quantize", ("-o", "d")), ("doctor", ()), ("diff", ("org/tiny",)), ("run", ("--random",))):
            c.run(0, "", verb, "org/tiny", *more)
        c.run(0, "", "tokenize", "org/tiny:tokenizer.json", "ink")
        c.run(2, "a file of it by a pattern", "pull", "org/tiny:config.json")
        (c.work / "org").mkdir()
        shutil.copytree(ROOT / "test/data/nib/tiny", c.work / "org/tiny")
        c.run(0, r"model +org/tiny \(", "inspect", "org/tiny")  # a folder that is there goes first


def test_models_and_doctor():
    with Case({"org/tiny": tiny(), "a/b": Repo({"config.json": UNKNOWN, "model.safetensors": TINY["model.safetensors"]}, revisions=("dev",), commit=OTHER)}) as c:
        c.run(0, "the cache holds no model", "models")
        c.pull()
        c.run(0, "", "pull", "a/b@dev", "--safetensors")
        text = c.run(0, r"org/tiny +0\.0 +embed +32 +model\.safetensors", "models")
        assert re.search(r"a/b@dev +0\.0 +- +- +no: model_type 'none_that_nib_knows'", text), text
        found = json.loads(c.run(0, "", "models", "--json").split("|")[0])["models"]
        assert [m["name"] for m in found] == ["a/b", "org/tiny"] and found[0]["refs"] == "dev" and found[1]["commit"] == COMMIT
        assert found[1]["bytes"] == sum(map(len, TINY.values())) and found[1]["runs"] == 1 and found[0]["runs"] == 0
        (c.snapshot() / "loop").symlink_to(".")  # a link that leads back, and one that leads out, are no part of it
        (c.snapshot() / "out").symlink_to("/usr")
        assert json.loads(c.run(0, "", "models", "--json").split("|")[0])["models"][1] == found[1]
        (c.repo / "blobs/abc.incomplete").write_bytes(b"x")
        c.run(0, "a pull of it did not end", "models")
        c.run(2, "it takes no argument", "models", "org/tiny")
        c.run(1, "out of memory", "models", "--memory", "1K")
        assert c.run(0, "", "models", "--quiet", HF_HUB_CACHE="nowhere") == "|"
        c.run(0, r"(?s)file +model.safetensors \(.*self-check +ok: .*vectors +ok: .*alone and in a batch.*CPU .*kernels .*Linear by nk_gemm", "doctor", "org/tiny")
        broken = json.loads(TINY["config.json"])
        broken["hidden_act"] = "relu"
        nan = bytearray(TINY["model.safetensors"])
        nan[-128:] = b"\xff" * 128  # some weights are no numbers: the doctor sees what that does
        (c.work / "sick").mkdir()
        for name, data in TINY.items():
            (c.work / "sick" / name).write_bytes(nan if name == "model.safetensors" else data)
        c.run(1, "FAILED: .*all finite", "doctor", "sick")


# ---------------------------------------------------------------- who asks, and whom

def test_token():
    with Case({"org/tiny": tiny(token=TOKEN), "org/gated": tiny(token=TOKEN, gated=True)}) as c:
        c.pull(2, "HTTP 401: there is no such model, or it is private: HF_TOKEN says who asks")
        c.run(2, "HTTP 403: access is given on the model's page", "pull", "org/gated")
        c.run(2, "HTTP 403: this token may not read it", "pull", "org/gated", HF_TOKEN="hf_other")
        c.pull(HF_TOKEN=TOKEN)
        assert all(h.get("Authorization") in (None, f"Bearer {TOKEN}", "Bearer hf_other") for _, _, h in c.hub.log)
        assert c.hub.cdn.log and not any("Authorization" in h or "Cookie" in h for _, _, h in c.hub.cdn.log), "the token went to another host"
        (c.work / "hf/token").write_text(TOKEN + "\n")
        c.run(0, "", "pull", "org/gated")
        # errors of every kind, with a token at hand
        for fault in (lambda r: r.answer(500, [("Retry-After", "0")]) or True, lambda r: r.answer(302, [("Location", "ftp://x/")]) or True,
                      lambda r: r.answer(200, [], b"not json") or True, lambda r: r.answer(418) or True):
            c.hub.faults["api"] = fault
            c.run(1, "", "pull", "org/tiny@main", HF_TOKEN=TOKEN)
        assert TOKEN not in c.said and "secret-of-the-cdn" not in c.said
        c.run(2, "HF_TOKEN: what it holds is no token", "pull", "org/tiny", HF_TOKEN=TOKEN + "\nX-Evil: 1")
        assert TOKEN not in c.said
        c.hub.faults.clear()
    # a hub that sends on to another host, or port, or from one name to another on itself
    with Case({"org/tiny": tiny(token=TOKEN)}) as c:
        moved = []

        def to_cdn(r):
            return r.answer(302, [("Location", c.hub.cdn_address + "/org/tiny/config.json")]) or True

        def renamed(r):
            if "old" not in r.path:
                return False
            moved.append(r.headers.get("Authorization"))
            return r.answer(307, [("Location", r.path.replace("old", "tiny"))]) or True
        c.hub.repos["org/old"] = c.hub.repos["org/tiny"]
        c.hub.faults["api"] = renamed
        c.run(0, "", "pull", "org/old", HF_TOKEN=TOKEN)
        assert moved == [f"Bearer {TOKEN}"]
        c.hub.faults["api"] = to_cdn
        c.run(1, "commit", "pull", "org/old", HF_TOKEN=TOKEN)
        assert not any("Authorization" in h for _, _, h in c.hub.cdn.log)


def test_offline():
    with Case() as c:
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            c.pull(2, f"org/tiny is not pulled: {name} says to stay offline", **{name: "1"})
            c.run(2, f"not while {name} says to stay offline", "inspect", "org/tiny", **{name: "1"})
            c.run(2, f"{name} says to stay offline", "inspect", "org/tiny", "--pull", **{name: "1"})
        assert not c.hub.log
        c.pull()
        asked = len(c.hub.log)
        c.pull(0, COMMIT, HF_HUB_OFFLINE="1")
        c.run(0, "embed", "inspect", "org/tiny", HF_HUB_OFFLINE="1")
        assert len(c.hub.log) == asked


def test_tls():
    work = pathlib.Path(tempfile.mkdtemp(prefix="nib-tls-"))
    try:
        pem = work / "both.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=hub",
                        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(work / "key"), "-out", str(work / "cert")], check=True, capture_output=True)
        pem.write_bytes((work / "key").read_bytes() + (work / "cert").read_bytes())
        with Case({"org/tiny": tiny(token=TOKEN)}, certificate=str(pem)) as c, Case({"org/tiny": tiny()}) as plain:
            c.pull(1, "(?i)certificate", HF_TOKEN=TOKEN)
            assert not c.hub.log, "asked a server that nobody vouches for"
            trusted = dict(SSL_CERT_FILE=str(work / "cert"), HF_TOKEN=TOKEN)
            c.pull(**trusted)
            c.check(*TINY)
            c.hub.faults["api"] = lambda r: r.answer(302, [("Location", plain.hub.endpoint + r.path)]) or True
            c.pull(1, "redirected from https to http.*refused", **trusted)
            assert not plain.hub.log
    finally:
        shutil.rmtree(work)


def test_redirects():
    with Case() as c:
        for location, why in ((c.hub.endpoint + "/api/models/org/tiny/revision/main", "more than 10 redirects"), ("file:///etc/passwd", "no address of http"),
                              ("http://user:password@127.0.0.1/", "no address of http"), ("gopher://127.0.0.1/", "no address of http"), (None, "without an address")):
            c.hub.faults["api"] = lambda r: r.answer(302, [("Location", location)] if location else []) or True
            c.pull(1, why)
        assert len(c.hub.log) < 20
        assert "password" not in c.said


# ---------------------------------------------------------------- servers that fail

def test_statuses():
    with Case() as c:
        c.run(2, "HTTP 404: there is no such revision", "pull", "org/tiny@dev")
        c.run(2, "HTTP 401: there is no such model", "pull", "org/nothing")
        for status, times in ((429, 2), (503, 3), (500, 1), (408, 1)):
            left = [times]

            def busy(r):
                left[0] -= 1
                return left[0] >= 0 and (r.answer(status, [("Retry-After", "0")]) or True)
            c.hub.faults["api"] = busy
            c.pull()
        for answer, why in ((lambda r: r.answer(429, [("Retry-After", "86400")]), "the server asks to come again in 86400 seconds"),
                            (lambda r: r.answer(503, [("Retry-After", "0")]), "answers HTTP 503"), (lambda r: r.answer(418), "answers HTTP 418"),
                            (lambda r: r.answer(500, [("Retry-After", "0")], b"x" * 10**6), "HTTP 500")):
            c.hub.faults["api"] = lambda r: answer(r) or True
            c.pull(1, why)
        before = len(c.hub.log)
        c.hub.faults["api"] = lambda r: r.answer(503, [("Retry-After", "0")]) or True
        c.pull(1, "503")
        assert len(c.hub.log) - before == 5
    with Case() as c:  # nobody is there
        c.hub.__exit__()
        c.pull(1, "(?i)connect")


def test_cut_connections():
    with Case() as c:
        c.hub.faults["cdn"] = lambda r: r.contents(TINY["model.safetensors"], most=1000) or True
        c.pull()
        c.check(*TINY)
        ranges = [h.get("Range") for h in c.asked("GET", "model.safetensors", cdn=True)]
        assert ranges == [None] + [f"bytes={n}-" for n in range(1000, len(TINY["model.safetensors"]), 1000)], ranges[:5]
    with Case() as c:  # a length that is none: the connection ends early, and says nothing of it
        def short(r):
            data = TINY["model.safetensors"]
            if "Range" in r.headers:
                return False
            r.send_response(200)
            r.send_header("Connection", "close")
            r.end_headers()
            r.wfile.write(data[:5000])
            r.close_connection = True
            return True
        c.hub.faults["cdn"] = short
        c.pull()
        c.check(*TINY)
    with Case() as c:  # it stalls once
        stalled = []

        def stall(r):
            if stalled:
                return False
            stalled.append(1)
            r.send_response(200)
            r.send_header("Content-Length", str(len(TINY["model.safetensors"])))
            r.end_headers()
            r.wfile.write(TINY["model.safetensors"][:2000])
            time.sleep(4)
            r.close_connection = True
            return True
        c.hub.faults["cdn"] = stall
        c.pull(HF_HUB_DOWNLOAD_TIMEOUT="1")
        c.check(*TINY)
        assert [h.get("Range") for h in c.asked("GET", "model.safetensors", cdn=True)] == [None, "bytes=2000-"]


def wide_test_slow_server():
    with Case() as c:  # ten bytes a second: no stall, and no end either
        def drip(r):
            data = TINY["model.safetensors"]
            r.send_response(200)
            r.send_header("Content-Length", str(len(data)))
            r.end_headers()
            try:
                for i in range(600):
                    r.wfile.write(data[i:i + 1])
                    r.wfile.flush()
                    time.sleep(0.1)
            except OSError:
                pass
            r.close_connection = True
            return True
        c.hub.no_range = True
        c.hub.faults["cdn"] = drip
        c.pull(1, "(?i)too slow.*100 bytes", HF_HUB_DOWNLOAD_TIMEOUT="1")
        assert len(c.hub.cdn.log) == 5
    with Case() as c:  # a list that does not come
        c.hub.faults["api"] = lambda r: time.sleep(3) or False
        c.pull(1, "(?i)too slow|timed out", HF_HUB_ETAG_TIMEOUT="1")


def test_servers_without_range():
    with Case() as c:
        c.pull()
        blob = c.repo / "blobs" / c.hub.repos["org/tiny"].etag("model.safetensors")
        for begun in (b"x" * 100, TINY["model.safetensors"][:5000], TINY["model.safetensors"] + b"more", b"x" * len(TINY["model.safetensors"])):
            (c.snapshot() / "model.safetensors").unlink()
            blob.unlink(missing_ok=True)
            pathlib.Path(str(blob) + ".incomplete").write_bytes(begun)
            c.hub.no_range = True
            c.pull()
            c.check(*TINY)
        c.hub.no_range = False
        for begun in (b"x" * 100, TINY["model.safetensors"], TINY["model.safetensors"][:-1]):
            (c.snapshot() / "model.safetensors").unlink()
            blob.unlink(missing_ok=True)
            pathlib.Path(str(blob) + ".incomplete").write_bytes(begun)
            c.pull()
            c.check(*TINY)
        # a server that sends another part than was asked for
        (c.snapshot() / "model.safetensors").unlink()
        blob.unlink()
        pathlib.Path(str(blob) + ".incomplete").write_bytes(TINY["model.safetensors"][:5000])
        c.hub.faults["cdn"] = lambda r: r.answer(206, [("Content-Range", f"bytes 6000-{len(TINY['model.safetensors']) - 1}/{len(TINY['model.safetensors'])}")],
                                                 TINY["model.safetensors"][6000:]) or True
        c.pull(1, "asked for bytes from 5000 on, the server sent others")
        assert not (c.snapshot() / "model.safetensors").exists()


# ---------------------------------------------------------------- servers that lie

def head(size=None, etag=None, commit=COMMIT, linked=True):
    """A fault that answers for a large file, with other words than the truth."""
    def answer(r):
        repo = r.server.hub.repos["org/tiny"]
        headers = [("X-Repo-Commit", commit), ("Location", f"{r.server.hub.cdn_address}/org/tiny/model.safetensors")]
        if linked:
            headers += [("X-Linked-Etag", f'"{etag if etag is not None else repo.etag("model.safetensors")}"')]
            headers += [("X-Linked-Size", str(size if size is not None else len(repo.files["model.safetensors"])))]
        return r.answer(302, headers) or True
    return answer


def test_lies():
    real = TINY["model.safetensors"]
    changed = bytearray(real)
    changed[-1] ^= 1
    rows = [
        ("model.safetensors", head(size=len(real) + 1), "server ended after|answers HTTP 416"),
        ("model.safetensors", head(size=len(real) - 1), "announces 37760 bytes, 37759 are expected"),
        ("model.safetensors", head(size=10**17), "are to be fetched, and the disk has room for"),
        ("model.safetensors", head(size="-5"), "does not say how large"),
        ("model.safetensors", head(size="9" * 40), "does not say how large"),
        ("model.safetensors", head(linked=False), "no etag that can be a file's name"),
        ("model.safetensors", head(etag="../../../../evil"), "no etag that can be a file's name"),
        ("model.safetensors", head(etag="a" * 500), "no etag that can be a file's name"),
        ("model.safetensors", head(commit=OTHER), "answers for another commit"),
        ("cdn", lambda r: r.answer(200, [], bytes(changed)) or True, "has the hash .* thrown away"),
        ("cdn", lambda r: r.answer(200, [], bytes(len(real))) or True, "thrown away"),
        ("cdn", lambda r: r.answer(200, [("Transfer-Encoding", "chunked")], b"", length=False) or endless(r), "more than the 37760 bytes"),
    ]
    for where, fault, why in rows:
        with Case() as c:
            c.hub.faults[where] = fault
            c.pull(1, why)
            assert c.files() == ["config.json", "tokenizer.json"] and not (c.repo / "refs").exists()
            assert len(list(c.repo.glob("blobs/*"))) - len(list(c.repo.glob("blobs/*.incomplete"))) == 2
            c.hub.faults.clear()
            c.pull()
            c.check(*TINY)
    with Case() as c:  # an etag that is no hash: taken, and said
        c.hub.faults["model.safetensors"] = head(etag="no-hash")
        c.pull(0, "its etag is no hash")
        assert (c.repo / "blobs/no-hash").read_bytes() == real


def endless(r):
    try:
        for _ in range(1000):
            r.wfile.write(b"2710\r\n" + b"x" * 10000 + b"\r\n")
    except OSError:
        pass
    r.close_connection = True
    return True


def test_hostile_lists():
    with Case() as c:
        for name in ("../../evil", "/etc/evil", "a/../../evil", "..", "a//b", "a/", "x\\..\\y", "x\ny", "a\0b", "", "x" * 300, 7, None):
            c.hub.repos["org/tiny"].listed = ["config.json", name]
            c.pull(1, "lists a file .* refused")
        for body, why in ((b"[]", "no commit"), (b"{", "hub's answer"), (b"", "hub's answer"), (b'{"sha": "../x", "siblings": []}', "which is none"),
                          (b'{"sha": "%s", "siblings": 3}' % COMMIT.encode(), "no list"), (b"[" * 100000, "hub's answer"),
                          (b'{"sha": "%s", "siblings": [%s]}' % (COMMIT.encode(), b",".join([b'{"rfilename":"a"}'] * 100001)), "100001 files"),
                          (b"<html>" * 1000, "hub's answer")):
            c.hub.faults["api"] = lambda r: r.answer(200, [], body) or True
            c.pull(1, why)
        c.hub.faults["api"] = lambda r: r.answer(200, [("Content-Length", str(10**9))], b"{", length=False) or True
        c.pull(1, "announces 1000000000 bytes, 67108864 are expected at most")
        block = b"a000000\r\n" + b" " * 0xa000000 + b"\r\n"  # 160 MiB and no end, without a length

        def large(r):
            r.answer(200, [("Transfer-Encoding", "chunked")], b"", length=False)
            try:
                r.wfile.write(block)
            except OSError:
                pass
            r.close_connection = True
            return True
        c.hub.faults["api"] = large
        c.pull(1, "more than the 67108864 bytes")
        c.hub.faults.clear()
        c.hub.repos["org/tiny"].listed = []
        c.pull(2, "neither model.safetensors nor onnx/model.onnx")
        assert not list(c.work.rglob("evil*"))


def test_planted_links():
    repo = tiny({"onnx/model.onnx": ONNX})
    with Case({"org/tiny": repo}) as c:
        outside = c.work / "outside"
        outside.mkdir()
        (outside / "file").write_bytes(b"mine")
        for folder in ("blobs", f"snapshots/{COMMIT}"):
            (c.repo / folder).mkdir(parents=True)
        part = c.repo / "blobs" / (repo.etag("model.safetensors") + ".incomplete")
        part.symlink_to(outside / "file")
        c.pull(1, "a link stands in the place of a file")
        part.unlink()
        os.link(outside / "file", part)
        c.pull(1, "no file that has this name alone")
        part.unlink()
        (c.snapshot() / "onnx").symlink_to(outside)
        c.pull(1, "a link or a file stands in the place of a folder", "--onnx")
        (c.snapshot() / "onnx").unlink()
        shutil.rmtree(c.snapshot())
        c.snapshot().symlink_to(outside)
        c.pull(1, "a link or a file stands in the place of a folder")
        c.snapshot().unlink()
        lock = c.work / "hf/hub/.locks/models--org--tiny" / (repo.etag("model.safetensors") + ".lock")
        lock.unlink(missing_ok=True)
        lock.symlink_to(outside / "new")
        c.pull(1, "cannot be locked")
        lock.unlink()
        (c.snapshot() / "model.safetensors").symlink_to("../../nowhere")  # one that leads nowhere is replaced
        (c.repo / "refs").mkdir()
        (c.repo / "refs/main").symlink_to(outside / "ref")
        c.pull()
        c.check(*TINY)
        assert sorted(os.listdir(outside)) == ["file"] and (outside / "file").read_bytes() == b"mine"


# ---------------------------------------------------------------- ends in the middle

class Gate:
    """A CDN that sends what is asked for up to a place, and then waits until its client has left."""

    def __init__(self, data):
        self.data, self.stop, self.reached = data, None, threading.Event()

    def __call__(self, r):
        wanted = r.headers.get("Range", "bytes=0-")
        first = int(wanted[6:-1])
        r.send_response(206 if first else 200)
        if first:
            r.send_header("Content-Range", f"bytes {first}-{len(self.data) - 1}/{len(self.data)}")
        r.send_header("Content-Length", str(len(self.data) - first))
        r.end_headers()
        r.wfile.write(self.data[first:self.stop])
        r.wfile.flush()
        self.reached.set()
        if self.stop is not None:
            r.connection.settimeout(20)
            try:
                r.connection.recv(1)
            except OSError:
                pass
            r.close_connection = True
        return True


def interrupted(c, gate, stop, number):
    gate.stop, before = stop, gate.reached.clear()
    p = subprocess.Popen([NIB, "pull", "org/tiny"], env=c.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    part = c.repo / "blobs" / (c.hub.repos["org/tiny"].etag("model.safetensors") + ".incomplete")
    assert gate.reached.wait(20), "nothing was asked for"
    end = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size >= stop) and time.monotonic() < end:
        time.sleep(0.001)
    assert part.stat().st_size == stop, (part.stat().st_size, stop)
    p.send_signal(number)
    p.communicate(timeout=20)
    return p.returncode


def test_kills():
    data = os.urandom(1 << 20)
    with Case({"org/tiny": Repo({"config.json": TINY["config.json"], "model.safetensors": data}, large={"model.safetensors"})}) as c:
        gate = Gate(data)
        c.hub.faults["cdn"] = gate
        for i in range(KILLS):
            stop = (i + 1) * len(data) // (KILLS + 1) + i % 7
            assert interrupted(c, gate, stop, signal.SIGKILL) == -signal.SIGKILL
            assert c.files() == ["config.json"] and not (c.repo / "refs").exists()
        gate.stop = None
        c.pull()
        c.check("config.json", "model.safetensors")
        ranges = [h.get("Range") for h in c.asked("GET", "model.safetensors", cdn=True)]
        assert len(ranges) == KILLS + 1 and None not in ranges[1:], "a pull began anew"


def test_interrupt():
    data = os.urandom(200000)
    with Case({"org/tiny": Repo({"config.json": TINY["config.json"], "model.safetensors": data}, large={"model.safetensors"})}) as c:
        gate = Gate(data)
        c.hub.faults["cdn"] = gate
        assert interrupted(c, gate, 70000, signal.SIGINT) == 130
        assert interrupted(c, gate, 90000, signal.SIGTERM) == 143
        gate.stop = None
        c.pull()
        c.check("config.json", "model.safetensors")
        assert [h.get("Range") for h in c.asked("GET", "model.safetensors", cdn=True)] == [None, "bytes=70000-", "bytes=90000-"]


def test_a_full_disk():
    with Case() as c:  # a limit of 20 kB a file takes the place of a disk that is full
        r = subprocess.run(["bash", "-c", f"ulimit -f 20; exec '{NIB}' pull org/tiny"], env=c.env, capture_output=True, timeout=60)
        assert r.returncode == 1 and b"cannot be written" in r.stderr, r.stderr
        assert c.files() == ["config.json", "tokenizer.json"] and not (c.repo / "refs").exists()
        c.pull()
        c.check(*TINY)
        assert c.asked("GET", "model.safetensors", cdn=True)[-1]["Range"].startswith("bytes=20")


# ---------------------------------------------------------------- what is said

def test_what_is_said():
    with Case() as c:
        c.run(2, "is no ORG/NAME.*no slash", "pull", "tiny")
        c.run(2, "no model was named", "pull")
        c.run(2, "HF_HUB_ETAG_TIMEOUT: 'soon' is no number", "pull", "org/tiny", HF_HUB_ETAG_TIMEOUT="soon")
        c.run(2, "HF_ENDPOINT", "pull", "org/tiny", HF_ENDPOINT="nowhere")
        for kilobytes in (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128):  # whatever is refused, it is said, and harms nothing
            r = subprocess.run([NIB, "pull", "org/tiny", "--memory", f"{kilobytes}K"], env=c.env, capture_output=True, timeout=60)
            assert r.returncode == 0 or (r.returncode == 1 and b"the ceiling is" in r.stderr), (kilobytes, r)
            if kilobytes == 1:
                assert r.returncode == 1
        shutil.rmtree(c.work / "hf", ignore_errors=True)
        text = c.pull(0, "", HF_HUB_DISABLE_PROGRESS_BARS="1")
        assert text.endswith("|"), text
        shutil.rmtree(c.work / "hf")
        assert c.pull(0, "", "--quiet").endswith("|")
        shutil.rmtree(c.work / "hf")
        assert c.pull().count("model.safetensors, 37.8 kB") == 1
        (c.work / "no").mkdir()
        for name in ("libcurl.so.4", "libcurl-gnutls.so.4"):
            (c.work / "no" / name).write_bytes(b"no library")
        c.pull(2, "needs libcurl.so.4.*apt install libcurl4", LD_LIBRARY_PATH=str(c.work / "no"))
        c.run(0, "embed", "inspect", "org/tiny", LD_LIBRARY_PATH=str(c.work / "no"))
        shutil.rmtree(c.work / "hf")
        # a terminal: a bar a file
        import pty
        leader, follower = pty.openpty()
        p = subprocess.Popen([NIB, "pull", "org/tiny"], env=c.env, stdout=subprocess.DEVNULL, stderr=follower)
        os.close(follower)
        seen = b""
        try:
            while chunk := os.read(leader, 4096):
                seen += chunk
        except OSError:
            pass
        os.close(leader)
        assert p.wait(20) == 0 and re.search(rb"model.safetensors +\[#{24}\] 37.8 kB of 37.8 kB", seen), seen


def main():
    tests = {name: test for name, test in globals().items() if name.startswith("test_")}
    tests.update((name, test) for name, test in globals().items() if name.startswith("wide_test_"))
    wanted = sys.argv[4:] or [name for name in tests if not name.startswith("wide_")]
    failures = 0
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        running = {name: pool.submit(tests[name]) for name in wanted}
        for name, future in running.items():
            try:
                future.result()
            except Exception:
                failures += 1
                print(f"FAILED: {name}")
                traceback.print_exc(file=sys.stdout)
    print(f"{len(wanted) - failures} of {len(wanted)} tests of pulling passed")
    return failures != 0


sys.exit(main())
