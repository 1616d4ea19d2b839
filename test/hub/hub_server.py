# SPDX-License-Identifier: Apache-2.0
"""A hub on this machine for tests: what Hugging Face's HTTP answers, and every way to misbehave that a test asks for.

    with Hub(repos) as hub:             # repos: {"org/name": Repo({"config.json": b"..", ..}, large={"model.safetensors"})}
        hub.endpoint                    # "http://127.0.0.1:PORT"
        hub.faults["file"] = fault      # called with the request in place of a file's answer; True: it has answered
        hub.log                         # [(method, path, headers)] of the hub itself; hub.cdn.log of what it redirects to

Large files are answered as git-lfs's are: a redirect to another port (the CDN) with X-Linked-Etag, their SHA-256, and
X-Linked-Size. Others come from the hub itself with git's SHA-1 as their ETag. Either serves Range.
"""
import hashlib
import http.server
import json
import ssl
import threading
import urllib.parse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Repo:
    def __init__(self, files, large=(), commit=COMMIT, revisions=("main",), token=None, gated=False):
        self.files, self.large, self.commit, self.revisions = dict(files), set(large), commit, set(revisions)
        self.token, self.gated, self.listed = token, gated, None

    def etag(self, name):
        data = self.files[name]
        if name in self.large:
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, headers=(), body=b"", length=True):
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def contents(self, data, headers=(), most=None):
        """The bytes, or those that Range asks for; `most`: the connection is cut after so many."""
        first = 0
        wanted = self.headers.get("Range", "")
        status, headers = 200, list(headers)
        if wanted.startswith("bytes=") and wanted.endswith("-") and not self.server.hub.no_range:
            first = int(wanted[6:-1])
            if first >= len(data):
                return self.answer(416)
            status = 206
            headers.append(("Content-Range", f"bytes {first}-{len(data) - 1}/{len(data)}"))
        body = data[first:]
        self.send_response(status)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return None
        try:
            self.wfile.write(body if most is None else body[:most])
        except OSError:
            pass
        if most is not None and most < len(body):
            self.close_connection = True
        return None

    def do_GET(self):
        server, hub = self.server, self.server.hub
        path = urllib.parse.unquote(self.path.split("?")[0])
        server.log.append((self.command, path, dict(self.headers)))
        if server is hub.cdn:
            return self.cdn(hub, path)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self.api(hub, "/".join(parts[2:4]), parts[4], "/".join(parts[5:]))
        return self.resolve(hub, "/".join(parts[:2]), parts[3] if len(parts) > 3 else "", "/".join(parts[4:]))

    do_HEAD = do_GET

    def refuse(self, status, code=""):
        return self.answer(status, [("X-Error-Code", code)] if code else [], b"no")

    def repo(self, hub, name):
        repo = hub.repos.get(name)
        if not repo:
            return self.refuse(401, "RepoNotFound")
        if repo.token and self.headers.get("Authorization") != f"Bearer {repo.token}":
            return self.refuse(401, "RepoNotFound") if not repo.gated else self.refuse(403, "GatedRepo")
        return repo

    def api(self, hub, name, what, revision):
        fault = hub.faults.get("api")
        if fault and fault(self):
            return None
        repo = self.repo(hub, name)
        if not isinstance(repo, Repo):
            return None
        if revision not in repo.revisions and revision != repo.commit:
            return self.refuse(404, "RevisionNotFound")
        if what == "tree":  # as huggingface_hub asks
            rows = []
            for f in sorted(repo.files):
                rows.append({"type": "file", "oid": "0" * 40, "size": len(repo.files[f]), "path": f})
                if f in repo.large:
                    rows[-1]["lfs"] = {"oid": repo.etag(f), "size": len(repo.files[f]), "pointerSize": 130}
                else:
                    rows[-1]["oid"] = repo.etag(f)
            return self.answer(200, [("Content-Type", "application/json")], json.dumps(rows).encode())
        listed = repo.listed if repo.listed is not None else sorted(repo.files)
        body = json.dumps({"id": name, "sha": repo.commit, "siblings": [{"rfilename": f} for f in listed]}).encode()
        return self.answer(200, [("Content-Type", "application/json")], body)

    def resolve(self, hub, name, revision, file):
        repo = self.repo(hub, name)
        if not isinstance(repo, Repo):
            return None
        if file not in repo.files:
            return self.refuse(404, "EntryNotFound")
        fault = hub.faults.get(file)
        if fault and fault(self):
            return None
        headers = [("X-Repo-Commit", repo.commit)]
        if file in repo.large:
            headers += [("X-Linked-Etag", f'"{repo.etag(file)}"'), ("X-Linked-Size", str(len(repo.files[file]))), ("ETag", '"of-the-answer"'),
                        ("Location", f"{hub.cdn_address}/{name}/{file}?Signature=secret-of-the-cdn")]
            return self.answer(302, headers)
        return self.contents(repo.files[file], headers + [("ETag", f'W/"{repo.etag(file)}"')])

    def cdn(self, hub, path):
        name, file = path[1:].split("/", 2)[:2], path[1:].split("/", 2)[2]
        fault = hub.faults.get("cdn")
        if fault and fault(self):
            return None
        return self.contents(hub.repos["/".join(name)].files[file], [("ETag", '"another"')])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, address):
        pass


class Hub:
    def __init__(self, repos, certificate=None):
        """certificate: a file with a key and a certificate; both ports then speak TLS."""
        self.repos, self.faults, self.no_range = dict(repos), {}, False
        self.servers = [Server(("127.0.0.1", 0), Handler) for _ in range(2)]
        for server in self.servers:
            server.hub, server.log = self, []
            if certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
                server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        scheme = "https" if certificate else "http"
        self.main, self.cdn = self.servers
        self.endpoint, self.cdn_address = (f"{scheme}://127.0.0.1:{s.server_address[1]}" for s in self.servers)

    @property
    def log(self):
        return self.main.log

    def __enter__(self):
        for server in self.servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args):
        for server in self.servers:
            server.shutdown()
            server.server_close()
