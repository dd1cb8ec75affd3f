"""Brings the front-end libraries into static/vendor, at pinned versions and pinned content.

Run it only to change a version: the files it writes are committed; nothing fetches them at build or run time.

    python scripts/vendor_static.py            # fetch, verify, write
    python scripts/vendor_static.py --check    # verify what is committed, without any network
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"


@dataclass(frozen=True)
class Package:
    """One npm package: the tarball's digest, and which of its files we keep."""

    name: str
    version: str
    sha256: str
    files: dict[str, str] = field(default_factory=dict)


TABLER = Package(
    "@tabler/core",
    "1.6.1",
    "d02d679e51f6c179b21f035e154c13cdcb2ae8b18579e56ea606408ba7fc7a87",
    {"dist/css/tabler.min.css": "tabler/tabler.min.css"},
)
ALPINE = Package(
    "@alpinejs/csp",
    "3.17.4",
    "4c4cd80495f4bbfac3cc026a191b84f341df885d175d757cba7675bcc7b87ec4",
    {"dist/cdn.min.js": "alpine/alpine-csp.min.js"},
)
ECHARTS = Package(
    "echarts",
    "6.1.0",
    "681aff88cc1038c3fa941a3a53d1b177a52250b05335efc607d6105ae13be481",
    {
        "dist/echarts.min.js": "echarts/echarts.min.js",
        "LICENSE": "echarts/LICENSE",
        "NOTICE": "echarts/NOTICE",
    },
)
ICONS = Package(
    "@tabler/icons",
    "3.51.0",
    "b30108713d3fa60aee862c2a133225da8e0f309be0708fe2925763ff810c766c",
    {"LICENSE": "icons/LICENSE"},
)
PACKAGES = (TABLER, ALPINE, ECHARTS, ICONS)

#: The icons in use, a name a line; `{% icon "name" %}` finds them in the sprite.
ICON_NAMES = (Path(__file__).parent / "icons.txt").read_text().split()

MIT = (Path(__file__).parent / "mit.txt").read_text()
#: Packages whose tarball names its licence (MIT) but does not carry the text.
LICENCES = {
    "tabler/LICENSE": "2018-2026 The Tabler Authors and codecalm.net",
    "alpine/LICENSE": "Caleb Porzio and contributors",
}


def fetch(package: Package, folder: Path) -> tarfile.TarFile:
    """The package's tarball, refused unless its digest is the pinned one."""
    answer = subprocess.run(
        ["npm", "pack", "--json", f"{package.name}@{package.version}"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    made = json.loads(answer.stdout)
    entry = made[0] if isinstance(made, list) else next(iter(made.values()))
    tarball = folder / entry["filename"]
    digest = hashlib.sha256(tarball.read_bytes()).hexdigest()
    if digest != package.sha256:
        sys.exit(f"{package.name} {package.version}: sha256 is {digest}, not {package.sha256}; refused.")
    return tarfile.open(tarball)


def read(tar: tarfile.TarFile, name: str) -> bytes:
    member = tar.extractfile(f"package/{name}")
    if member is None:
        sys.exit(f"{name} is not in the package any more; mend the list of files.")
    return member.read()


def without_source_map(content: bytes) -> bytes:
    return re.sub(rb"\n?(//# sourceMappingURL=\S+|/\*# sourceMappingURL=\S+ \*/)\s*$", b"\n", content)


def sprite(tar: tarfile.TarFile) -> bytes:
    """One SVG with a symbol for each icon in use."""
    symbols = []
    for name in sorted(set(ICON_NAMES)):
        source = read(tar, f"icons/outline/{name}.svg").decode()
        shapes = source[source.index(">", source.index("<svg")) + 1 : source.rindex("</svg>")]
        shapes = re.sub(r"\s*\n\s*", "", shapes)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{shapes}</symbol>')
    body = "\n".join(symbols)
    return f'<svg xmlns="http://www.w3.org/2000/svg">\n{body}\n</svg>\n'.encode()


def write_all() -> None:
    kept: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for package in PACKAGES:
            with fetch(package, Path(scratch)) as tar:
                for source, target in package.files.items():
                    kept[target] = without_source_map(read(tar, source))
                if package is ICONS:
                    kept["icons/tabler.svg"] = sprite(tar)
    kept |= {target: MIT.format(holders=holders).encode() for target, holders in LICENCES.items()}
    for target, content in kept.items():
        path = VENDOR / target
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    manifest = {
        "packages": [{"name": p.name, "version": p.version, "sha256": p.sha256} for p in PACKAGES],
        "files": {t: hashlib.sha256(c).hexdigest() for t, c in sorted(kept.items())},
    }
    (VENDOR / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    print(f"{len(kept)} files in {VENDOR}")


def check() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text())
    pinned = [{"name": p.name, "version": p.version, "sha256": p.sha256} for p in PACKAGES]
    wrong = [] if manifest["packages"] == pinned else ["manifest.json is of other versions than this script"]
    for target, digest in manifest["files"].items():
        path = VENDOR / target
        if not path.exists() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            wrong.append(f"{target} differs from the manifest")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{len(manifest['files'])} vendored files are what the manifest says.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="verify the committed files only")
    check() if parser.parse_args().check else write_all()


if __name__ == "__main__":
    main()
