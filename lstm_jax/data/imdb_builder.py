"""TFDS's builder of the IMDB reviews, made to read the archive without TensorFlow.

Apart from `imdb.py` because it imports TensorFlow Datasets, which few runs need.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from lstm_jax.data import imdb

_TfdsBuilder = tfds.builder_cls("imdb_reviews")


class ImdbReviews(_TfdsBuilder, skip_registration=True):  # pyright: ignore
    """TFDS's own builder: its features, version, layout and checksum, but not its way to read tar.

    TFDS opens the archive with TensorFlow's file system; here it is read with `tarfile`. The keys
    of the examples are the same, and so are the files in the end.
    """

    name = "imdb_reviews"
    # TFDS would look for the checksum and the description beside this file.
    pkg_dir_path = _TfdsBuilder.pkg_dir_path
    url_infos = _TfdsBuilder.url_infos

    def _split_generators(
        self, dl_manager: tfds.download.DownloadManager
    ) -> dict[str, Iterable[tuple[str, dict[str, Any]]]]:
        archive = Path(dl_manager.download(imdb.ARCHIVE_URL))
        splits = imdb.ordered_splits(archive, unlabelled=True)
        return {
            split: (
                (
                    review.name,
                    {
                        "text": review.text,
                        "label": -1 if review.folder == "unsup" else review.folder,
                    },
                )
                for review in reviews
            )
            for split, reviews in splits.items()
        }

    # TFDS prints both to the standard output.
    def _log_download_bytes(self) -> None:
        pass

    def _log_download_done(self) -> None:
        pass


def prepare(data_dir: str | Path) -> None:
    """Downloads the archive, checks its checksum, and writes array_record files as TFDS does.

    Args:
        data_dir: TFDS's data directory, made if it is not there.

    Raises:
        Exception: whatever TFDS and `requests` raise where there is no network, no room or a
            different archive.
    """
    tfds.disable_progress_bar()
    builder = ImdbReviews(data_dir=str(data_dir), config="plain_text")  # pyright: ignore
    builder.download_and_prepare(
        file_format="array_record",
        download_config=tfds.download.DownloadConfig(
            try_download_gcs=False, force_checksums_validation=True
        ),
    )
