"""The guard of webhook targets in a network in which there is something to be reached."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAMESPACES = ("unshare", "--user", "--map-root-user", "--net", "--mount")


def test_posts_reach_public_addresses_only_whatever_a_name_says(counts):
    done = subprocess.run(
        [*NAMESPACES, sys.executable, "-m", "tests.live.public_network"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    counts(hostile_targets=found.pop("hostile targets tried"))
    assert found == {
        "public": 200,
        "sni and host": True,
        "public and inner": "This leads to an address that is not public.",
        "rebound": "This leads to an address that is not public.",
        "another name": "The certificate is not good: Hostname mismatch, certificate is not valid "
        "for 'wrong.com'.",
        "proxy of the environment": 200,
        "redirect": 302,
        "certificate of nobody": "The certificate is not good: self-signed certificate.",
        "connections inside": 0,
    }
