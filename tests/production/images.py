"""Builds the images of `deploy/Dockerfile` in folders, where no Docker engine is needed.

Each instruction is carried out as it stands there. The base image is made by `debootstrap`,
from the mirror that this machine's own apt uses, with what Debian's image is known to add.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITE = "bookworm"
_BASE = f"debian:{SUITE}-slim"
_INSTRUCTION = re.compile(r"(?P<name>[A-Z]+)\s+(?P<value>.+)")
# What a machine may need to reach package registries; no image keeps any of it.
_PASSED_ON = re.compile(r"(?i)(https?|no)_proxy|PIP_(TRUSTED_HOST|INDEX_URL|DEFAULT_TIMEOUT)")
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, kw_only=True)
class Image:
    """Layers, the topmost first, and how a container of it starts."""

    layers: tuple[Path, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    command: tuple[str, ...] = ()


def run(*command: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a program of this machine; what it said is in the error if it fails."""
    words = [str(word) for word in command]
    answer = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert answer.returncode == 0, f"{words} failed:\n{answer.stdout}{answer.stderr}"
    return answer


def mount_layers(layers: tuple[Path, ...], *, top: Path, at: Path, stack: ExitStack) -> Path:
    """Lay the folder `top` over the layers; what is written goes there."""
    work = top.with_name(f"{top.name}.work")
    for folder in (top, work, at):
        folder.mkdir(parents=True, exist_ok=True)
    lower = ":".join(str(layer) for layer in layers)
    options = f"lowerdir={lower},upperdir={top},workdir={work}"
    run("mount", "-t", "overlay", "overlay", "-o", options, at)
    stack.callback(run, "umount", "-R", "--lazy", at)
    return at


def build(workspace: Path) -> dict[str, Image]:
    """Every stage of the Dockerfile by its name."""
    images = {_BASE: Image(layers=(_debian(workspace / "debian"),))}
    for stage in _stages():
        (_, first), *rest = stage
        parent, name = re.fullmatch(r"(\S+) AS (\S+)", first).groups()
        images[name] = _build_stage(images[parent], rest, workspace / name)
    return images


def _stages() -> list[list[tuple[str, str]]]:
    stages: list[list[tuple[str, str]]] = []
    for line in (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        instruction = _INSTRUCTION.fullmatch(line)
        assert instruction, f"this line of the Dockerfile is not understood: {line}"
        if instruction["name"] == "FROM":
            stages.append([])
        stages[-1].append((instruction["name"], instruction["value"]))
    return stages


def _build_stage(image: Image, instructions: list[tuple[str, str]], folder: Path) -> Image:
    top = folder / "layer"
    with ExitStack() as stack:
        root = mount_layers(image.layers, top=top, at=folder / "root", stack=stack)
        for name, value in instructions:
            image = _follow(image, name, value, root)
    return replace(image, layers=(top, *image.layers))


def _follow(image: Image, name: str, value: str, root: Path) -> Image:
    if name == "RUN":
        assert image.user == "0:0"
        _run_step(json.loads(value), root)
    elif name == "COPY":
        _copy(*value.split(), root)
    elif name == "ENV":
        pairs = dict(pair.split("=", 1) for pair in value.split())
        return replace(image, environment=image.environment | pairs)
    elif name in {"USER", "WORKDIR"}:
        return replace(image, **{"user" if name == "USER" else "folder": value})
    elif name == "CMD":
        return replace(image, command=tuple(json.loads(value)))
    else:
        raise AssertionError(f"no rule for {name}")
    return image


def _run_step(command: list[str], root: Path) -> None:
    with ExitStack() as stack:
        run("mount", "-t", "proc", "proc", root / "proc")
        stack.callback(run, "umount", root / "proc")
        for host in (_CERTIFICATES, Path("/etc/resolv.conf")):
            guest = root / "run" / host.name
            shutil.copyfile(host, guest)
            stack.callback(guest.unlink)
        resolver = root / "etc/resolv.conf"
        resolver.unlink(missing_ok=True)
        resolver.symlink_to("/run/resolv.conf")
        passed = {name: text for name, text in os.environ.items() if _PASSED_ON.fullmatch(name)}
        environment = passed | {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        environment["PIP_CERT"] = f"/run/{_CERTIFICATES.name}"
        run("chroot", root, *command, env=environment)


def _copy(source: str, target: str, root: Path) -> None:
    """From what `.dockerignore` lets through, which names all that it keeps."""
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in lines if line.startswith("!")]
    assert source == "." or source.partition("/")[0] in kept
    for name in kept if source == "." else [source]:
        place = root / target.lstrip("/") / (name if source == "." else "")
        if (ROOT / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, place, dirs_exist_ok=True, ignore=ignored)
        else:
            shutil.copy(ROOT / name, place)
    run("chown", "-R", "0:0", root / target.lstrip("/"))


def _debian(root: Path) -> Path:
    sources = _mirrors()
    run("debootstrap", "--variant=minbase", SUITE, root, sources[0][0], timeout=400)
    lines = [f"deb {address} {suite} main" for address, suite in sources]
    (root / "etc/apt/sources.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    proxies = run("apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy").stdout
    (root / "etc/apt/apt.conf.d/90proxy").write_text(proxies, encoding="utf-8")
    # Debian's own image does these two as well: no service starts when it is installed, and
    # a file is not forced to the disk one by one.
    guard = root / "usr/sbin/policy-rc.d"
    guard.write_text("#!/bin/sh\nexit 101\n", encoding="ascii")
    guard.chmod(0o755)
    (root / "etc/dpkg/dpkg.cfg.d/unsafe").write_text("force-unsafe-io\n", encoding="ascii")
    return root


def _mirrors() -> list[tuple[str, str]]:
    """Address and suite of each source of this Debian that apt is told of, main one first."""
    listed = run(
        *("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)"),
        "Identifier: Packages",
    ).stdout
    found = {tuple(line.split()) for line in listed.splitlines()}
    suites = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
    mirrors = [
        (line[0], suite) for suite in suites for line in found if line[1:] == (suite, "main")
    ]
    assert mirrors, f"this machine's apt names no source of Debian {SUITE}"
    assert mirrors[0][1] == SUITE
    return mirrors
