"""One file out of an export, for a mail or a webhook: the file itself where there is one, else an archive of all."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from portfolio_pipelines.delivery.exports.due_times import FIRST_DAY
from portfolio_pipelines.delivery.exports.manifest import MEDIA_TYPES, NAME, Manifest, file_of
from portfolio_pipelines.resources.files import appears_whole

PACKED_ALREADY: Final = frozenset({".parquet", ".xlsx", ".pdf"})


@dataclass(frozen=True, slots=True)
class Package:
    """A file that can be sent.

    Attributes:
        path: Where it is.
        name: What the receiver sees.
        media_type: Of its content.
        size: Bytes.
        sha256: Of its content, hexadecimal.
    """

    path: Path
    name: str
    media_type: str
    size: int
    sha256: str


def packed(manifest: Manifest, folder: Path, name: str) -> Package:
    """What is sent of an export.

    Args:
        manifest: The export; its files are in `manifest.folder`.
        folder: Where an archive may be written.
        name: What the user calls it; of it letters and digits are shown.
    """
    shown = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "export"
    start = "" if manifest.first == FIRST_DAY else f"{manifest.first}-"
    stem = f"{shown}-{start}to-{manifest.last}"
    if len(manifest.files) == 1:
        only = manifest.files[0]
        path = manifest.folder / only.name
        return Package(path, f"{stem}{path.suffix}", MEDIA_TYPES[path.suffix], only.size, only.sha256)
    archive = folder / f"{stem}.zip"
    with appears_whole(archive) as beside, ZipFile(beside, "w") as content:
        for member in [NAME, *(file.name for file in manifest.files)]:
            entry = ZipInfo(member, (1980, 1, 1, 0, 0, 0))  # the same files make the same archive
            entry.compress_type = ZIP_STORED if Path(member).suffix in PACKED_ALREADY else ZIP_DEFLATED
            with (manifest.folder / member).open("rb") as source, content.open(entry, "w") as target:
                while block := source.read(1 << 20):
                    target.write(block)
    made = file_of(archive)
    return Package(archive, archive.name, made.media_type, made.size, made.sha256)
