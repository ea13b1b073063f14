"""The base image that a release is built on, by digest: `python3 -m tools.release.base_images` prints it."""

import re
import sys

from tools.repository import ROOT

LOCK = ROOT / "deploy" / "images.lock"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def locked(text: str) -> dict[str, str]:
    """Digests by tag. Raises ValueError for a line that is not an image and its digest."""
    images = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        image, _, digest = line.partition(" ")
        if not DIGEST.fullmatch(digest):
            raise ValueError(f"deploy/images.lock: {image!r} has no digest; run scripts/images-lock.sh")
        images[image] = digest
    return images


def base_image(dockerfiles: list[str], lock: str) -> str:
    """The one base image of all Dockerfiles, as tag@digest. Raises ValueError if they differ or the lock lacks it."""
    images = {image for text in dockerfiles for image in re.findall(r"(?m)^ARG PYTHON_IMAGE=(\S+)$", text)}
    digests = locked(lock)
    match sorted(images):
        case [image] if image in digests:
            return f"{image}@{digests[image]}"
        case names:
            raise ValueError(
                f"deploy/images.lock must have the one base image of all Dockerfiles, which name {names}; run scripts/images-lock.sh"
            )


def main() -> None:
    files = [*ROOT.glob("services/*/Dockerfile"), ROOT / "cli" / "Dockerfile"]
    try:
        print(base_image([file.read_text() for file in files], LOCK.read_text()))
    except ValueError as error:
        sys.exit(f"release: {error}")


if __name__ == "__main__":
    main()
