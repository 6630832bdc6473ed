"""Writers of small files as the community ships them: RecordIO, Hugging Face folders, WebDataset tars, lists, mat files."""

import io
import json
import pickle
import struct
import tarfile

import numpy as np

MAGIC = struct.pack("<I", 0xCED7230A)


def picture(seed=0, size=12, kind="png", colour=True):
    """The bytes of a small picture, and its pixels (exact where `kind` is png)."""
    from PIL import Image

    random = np.random.default_rng(seed)
    shape = (size, size + 2, 3) if colour else (size, size + 2)
    pixels = random.integers(0, 256, shape, dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue(), pixels


def sums(sent, names):
    """What a worker finds: the sum of each image's bytes. `sent`: a pickled source."""
    return [int(image.sum()) for image in pickle.loads(sent).images(names)]


def record(content):
    """One record of RecordIO: cut into parts wherever the magic number stands at a multiple of 4."""
    cuts = [at for at in range(0, len(content) - 3, 4) if content[at : at + 4] == MAGIC]
    starts, ends = [0, *(at + 4 for at in cuts)], [*cuts, len(content)]
    flags = [0] if not cuts else [1, *([2] * (len(cuts) - 1)), 3]
    out = b""
    for flag, start, end in zip(flags, starts, ends, strict=True):
        part = content[start:end]
        out += MAGIC + struct.pack("<I", flag << 29 | len(part)) + part + bytes(-len(part) % 4)
    return out


def packed(labels, number, content=b""):
    """A record's content: MXNet's header, further labels, the picture. `labels`: a number, or a list of them."""
    several = not isinstance(labels, int | float)
    head = struct.pack("<IfQQ", len(labels) if several else 0, 0 if several else labels, number, 0)
    return head + (np.array(labels, "<f4").tobytes() if several else b"") + content


def write_recordio(folder, records, idx=True, prop="", name="train"):
    """`records`: (key, content) pairs, written in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    rec, lines = b"", []
    for key, content in records:
        lines.append(f"{key}\t{len(rec)}\n")
        rec += record(content)
    (folder / f"{name}.rec").write_bytes(rec)
    if idx:
        (folder / f"{name}.idx").write_text("".join(lines))
    if prop:
        (folder / "property").write_text(prop)
    return folder


def insightface(people=3, each=4, kind="png"):
    """Records as insightface's face2rec2 writes them: 0 the counts, 1..N images, N+1.. an identity's range each."""
    total = people * each
    records = [(0, packed([total + 1, total + 1 + people], 0))]
    for number in range(1, total + 1):
        label = (number - 1) // each
        records.append((number, packed(label, number, picture(number, kind=kind)[0])))
    for label in range(people):
        key = total + 1 + label
        records.append((key, packed([1 + label * each, 1 + (label + 1) * each], key)))
    return records


def table(labels, size=6, paths=False, names=None, column="image"):
    """A Hugging Face table: row i shows `picture(i)`; ClassLabel metadata where `names` are given."""
    import pyarrow as pa

    shown = [{"bytes": None if paths else picture(row, size)[0], "path": f"{row}.png"} for row in range(len(labels))]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    made = pa.table({column: pa.array(shown, kind), "label": labels, "score": [0.5] * len(labels)})
    feature = {"label": {"names": names, "_type": "ClassLabel"}, column: {"_type": "Image"}}
    noted = {"huggingface": json.dumps({"info": {"features": feature}})} if names else {}
    return made.replace_schema_metadata(noted)


def write_arrow(path, made, rows=3):
    """As `save_to_disk` does: an arrow stream of record batches."""
    import pyarrow as pa

    path.parent.mkdir(parents=True, exist_ok=True)
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, made.schema) as stream:
        stream.write_table(made, max_chunksize=rows)


def write_tar(path, files):
    """`files`: (name, content) pairs, or TarInfo objects (links and the like)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for file in files:
            info, content = (file, b"") if isinstance(file, tarfile.TarInfo) else (tarfile.TarInfo(file[0]), file[1])
            if not isinstance(file, tarfile.TarInfo):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def shard(people, each, first=0):
    """The files of a WebDataset shard: `KEY.png` and `KEY.cls`; the picture is that of the key's number."""
    for number in range(first, first + people * each):
        yield f"{number:06d}.png", picture(number)[0]
        yield f"{number:06d}.cls", str((number - first) // each).encode()


def write_mat(path, arrays, compressed=False):
    from scipy.io import savemat

    savemat(path, arrays, do_compression=compressed)
    return path
