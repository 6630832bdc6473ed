"""Section: the data as pictures, from the contact sheets that the sweep left, and its size."""

import base64

from markupsafe import Markup

from reports import _markup as html
from reports import _rows, _words
from reports._study import Study

TITLE = "Data"
ORDER = 70
ROOM = 4_500_000  # bytes of pictures in one report; base64 makes a third more of them
SIZES = ("identities", "images", "train_identities", "train_images", "development_images", "skipped_images")


def render(records: Study) -> Markup:
    """What was trained on, then each contact sheet under its file's name while there is room."""
    parts, left = [_sizes(records)], ROOM
    if not records.pictures:
        return html.join([*parts, html.paragraph("Pictures are left out, as was asked.", kind="note")])
    for path in records.contact_sheets():
        caption = path.stem.replace("_", " ")
        size = path.stat().st_size
        if size > left:
            where = path.relative_to(records.folder)
            parts.append(
                html.paragraph(
                    f"{caption}: left out to keep this file small ({size / 1e6:.1f} MB); see {where}.", kind="note"
                )
            )
            continue
        left -= size
        source = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        parts.append(html.figure(Markup('<img alt="Contact sheet: {}" src="{}">').format(caption, source), caption))
    if not records.contact_sheets():
        parts.append(html.paragraph("The sweep left no contact sheet.", kind="note"))
    return html.join(parts)


def _sizes(study: Study) -> Markup:
    """The training data of the confirmation runs; differing sizes are all listed."""
    ended = [r for r in study.of(*_rows.ROLES) if r.provenance] or [r for r in study if r.provenance]
    names = _words.listing(sorted({str(r.trial.data.get("name", "unknown")) for r in study}))
    said = []
    for key in SIZES:
        seen = sorted({r.provenance[key] for r in ended if key in r.provenance})
        if seen:
            said.append(f"{key.replace('_', ' ')} {_words.listing([_words.count(n) for n in seen], 'or')}")
    sizes = ", ".join(said)
    return html.paragraph(f"Trained on {names}" + (f": {sizes}." if sizes else "."))
