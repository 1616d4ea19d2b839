#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""nib and PyPI's huggingface_hub share one cache: either reads what the other fetched, and fetches none of it again. Against a hub on
this machine (test/hub/hub_server.py). Run by a Python that has huggingface_hub (tools/setup hub). Exit 1 at the first difference.

usage: check_hub.py NIB SOURCE_FOLDER
"""
import os
import pathlib
import subprocess
import sys
import tempfile

NIB, ROOT = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
sys.path.insert(0, str(ROOT / "test/hub"))
from hub_server import COMMIT, Hub, Repo  # noqa: E402

FILES = {p.name: p.read_bytes() for p in (ROOT / "test/data/nib/tiny").iterdir()}
FILES["1_Pooling/config.json"] = b'{"word_embedding_dimension": 32, "pooling_mode_mean_tokens": true}'
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


def environment(hub, home, **more):
    env = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy") and not k.startswith(("HF_", "HUGGING"))}
    return {**env, "HF_HOME": str(home), "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", **more}


def nib(hub, home, *command, **more):
    r = subprocess.run([NIB, *command], env=environment(hub, home, **more), capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, (command, r.stderr)
    return r.stdout.strip()


def python(hub, home, program, **more):
    """What a program prints that has huggingface_hub as `h`."""
    r = subprocess.run([sys.executable, "-c", "import huggingface_hub as h, os\n" + program], env=environment(hub, home, **more), capture_output=True,
                       text=True, timeout=120)
    assert r.returncode == 0, r.stderr[-2000:]
    return r.stdout.strip()


def contents(hub):
    """How often contents were asked for."""
    return sum(m == "GET" and "/resolve/" in path for m, path, _ in hub.log) + len(hub.cdn.log)


def check(what, good):
    if not good:
        print(f"FAILED: {what}")
        sys.exit(1)


def tree(home):
    """Everything in the cache but what one tool keeps for itself alone: links by where they lead, files by their bytes."""
    root = home / "hub"
    own = ("trees", ".no_exist", "CACHEDIR.TAG")
    found = {}
    for p in sorted(root.rglob("*")):
        name = str(p.relative_to(root))
        if any(o in name.split("/") for o in own) or name.endswith(".lock") or (p.is_dir() and not p.is_symlink()):
            continue
        found[name] = os.readlink(p) if p.is_symlink() else p.read_bytes()
    return found


def main():
    repo = Repo(FILES, large={"model.safetensors"}, revisions=("main", "refs/pr/1"))
    work = pathlib.Path(tempfile.mkdtemp(prefix="nib-check-hub-"))
    with Hub({"org/tiny": repo}) as hub:
        # nib fetches, huggingface_hub reads
        path = nib(hub, work / "a", "pull", "org/tiny")
        asked = contents(hub)
        offline = python(hub, work / "a", "print(h.snapshot_download('org/tiny', local_files_only=True))")
        check("huggingface_hub finds nib's snapshot", offline == path and path.endswith(COMMIT))
        for file in FILES:
            found = python(hub, work / "a", f"print(h.hf_hub_download('org/tiny', {file!r}))")
            check(f"huggingface_hub finds {file}", pathlib.Path(found).read_bytes() == FILES[file])
            found = python(hub, work / "a", f"print(h.try_to_load_from_cache('org/tiny', {file!r}))", HF_HUB_OFFLINE="1")
            check(f"huggingface_hub finds {file}, offline", found == f"{path}/{file}")
        check("huggingface_hub has all of it", python(hub, work / "a", "print(h.snapshot_download('org/tiny'))") == path)
        check("huggingface_hub fetches nothing again", contents(hub) == asked)
        scan = python(hub, work / "a", "c = h.scan_cache_dir()\nprint(len(c.warnings), [(r.repo_id, r.nb_files, sorted(r.refs)) for r in c.repos])")
        check("huggingface_hub's scan of nib's cache: " + scan, scan == f"0 [('org/tiny', {len(FILES)}, ['main'])]")

        # huggingface_hub fetches, nib reads
        path = python(hub, work / "b", "print(h.snapshot_download('org/tiny'))")
        check("huggingface_hub's own snapshot", path.endswith(COMMIT))
        asked = contents(hub)
        check("nib finds huggingface_hub's snapshot", nib(hub, work / "b", "pull", "org/tiny", HF_HUB_OFFLINE="1") == path)
        check("nib opens it", "Hugging Face folder" in nib(hub, work / "b", "inspect", "org/tiny"))
        check("nib has all of it", nib(hub, work / "b", "pull", "org/tiny") == path)
        check("nib fetches nothing again", contents(hub) == asked)
        check("both caches hold the same", tree(work / "a") == tree(work / "b"))

        # another revision, and a new commit of the first, one tool behind the other
        nib(hub, work / "a", "pull", "org/tiny@refs/pr/1")
        python(hub, work / "b", "h.snapshot_download('org/tiny', revision='refs/pr/1')")
        repo.commit, repo.files["config.json"] = OTHER, FILES["config.json"] + b"\n"
        python(hub, work / "a", "h.snapshot_download('org/tiny')")
        nib(hub, work / "b", "pull", "org/tiny")
        check("both caches hold the same after a new commit", tree(work / "a") == tree(work / "b"))
        nib(hub, work / "a", "pull", "org/tiny")

        # without links
        alone = {"HF_HUB_DISABLE_SYMLINKS": "1"}
        path = nib(hub, work / "c", "pull", "org/tiny", **alone)
        asked = contents(hub)
        check("huggingface_hub finds files without links", python(hub, work / "c", "print(h.snapshot_download('org/tiny'))", **alone) == path)
        check("huggingface_hub fetches none of these again", contents(hub) == asked)
        path = python(hub, work / "d", "print(h.snapshot_download('org/tiny'))", **alone)
        asked = contents(hub)
        check("nib finds files without links", nib(hub, work / "d", "pull", "org/tiny", **alone) == path and contents(hub) == asked)
        check("both hold the same without links", tree(work / "c") == tree(work / "d"))
    subprocess.run(["rm", "-rf", str(work)], check=True)
    print("one cache for nib and huggingface_hub: ok")


main()
