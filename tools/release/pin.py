"""Writes a release's registry and the digests of its images into the chart's values: `python3 -m tools.release.pin REGISTRY FILE`.

FILE has a line `<service> <digest>` for each image. It runs before the chart is packaged, so the packaged chart names exactly these images.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path

from tools.release.base_images import DIGEST
from tools.repository import CHART

IMAGE = re.compile(r'repository: flashsale/([a-z-]+), tag: "", digest: ""')
REGISTRY = re.compile(r"(?m)^(image:\n(?:  #.*\n)*  registry: ).*$")


def pinned(values: str, registry: str, digests: Mapping[str, str]) -> str:
    """The values with the registry, and with a digest for every image. Raises ValueError if the images differ from the chart's."""
    images = set(IMAGE.findall(values))
    wrong = sorted(service for service, digest in digests.items() if not DIGEST.fullmatch(digest))
    if images != digests.keys() or wrong:
        raise ValueError(f"the chart has the images {sorted(images)}, and digests came for {sorted(digests)}; not a digest: {wrong}")
    text, count = REGISTRY.subn(lambda match: match.group(1) + registry, values)
    if count != 1:
        raise ValueError("values.yaml: image.registry is missing")
    return IMAGE.sub(lambda match: f'repository: flashsale/{match.group(1)}, tag: "", digest: "{digests[match.group(1)]}"', text)


def main() -> None:
    registry, file = sys.argv[1:]
    digests = dict(line.split() for line in Path(file).read_text().splitlines())
    values = CHART / "values.yaml"
    try:
        values.write_text(pinned(values.read_text(), registry, digests))
    except ValueError as error:
        sys.exit(f"release: {error}")


if __name__ == "__main__":
    main()
