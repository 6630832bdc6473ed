"""Section: the pairs and probes that the losses fail on, with their pictures and scores, side by side."""

from collections.abc import Sequence

from markupsafe import Markup

from reports import _figures, _hard, _pictures, _rows, _words
from reports import _markup as html
from reports._hard import Hard
from reports._pictures import Album
from reports._study import Study

TITLE = "Hardest pairs and probes"
ORDER = 47
SHOWN = 5  # of each kind
SHOWN_ALONE = 2  # of each loss
ROOM = 1_500_000  # bytes of tables with pictures in one report; what comes after has names alone
_CAPTION = (
    "A pair or probe is wrong with a loss where more than half of its training seeds are wrong. Scores are means over the "
    "seeds; the margin is the distance to the threshold in standard deviations of all scores, since the losses' scores "
    "have scales of their own. These were picked by looking at the test: they show what goes wrong, and nothing may be "
    "chosen by them."
)
_SEARCHED = (
    "Wrong: a stranger scores at least as much as the mate. Rank: that of the mate in the largest gallery, the geometric "
    "mean over a probe's searches and the seeds; ≥ where a search was not counted to its end."
)
_PERSONS = (
    "This page holds images of persons: pass it on as you would their photographs (--no-pictures leaves them out)."
)
Groups = list[tuple[str, list[int]]]  # title -> which pairs or probes


def render(records: Study) -> Markup:
    """For each protocol: how much each loss gets wrong, what all of them fail on, what only one fails on."""
    names = [name for name in _rows.protocols(records) if not _figures.closed(name)]
    if not names and _rows.protocols(records):
        return Markup("")  # a closed-set test has neither pairs nor probes
    parts: list[Markup] = []
    persons = False
    for name in names:
        sets = [*_hard.pairs(records, name), *_hard.probes(records, name)]
        if sets:
            chosen = [_chosen(found) for found in sets]
            album = _album(records, name, sets, chosen, sum(map(len, parts)) < ROOM)
            persons |= album.persons and bool(album.shown)
            parts += [
                html.heading(_figures.protocol_title(name)),
                _missing(records, album) if any(chosen) else Markup(""),
            ]
            parts += [_set(records, found, groups, album) for found, groups in zip(sets, chosen, strict=True)]
    if not parts:
        return html.paragraph("No scores of pairs or probes: no confirmation run has kept any.")
    alert = [html.paragraph(_PERSONS, kind="alert")] if persons else []
    return html.join([*alert, html.paragraph(_CAPTION, kind="note"), *parts])


def _album(study: Study, protocol: str, sets: Sequence[Hard], chosen: Sequence[Groups], room: bool) -> Album:
    """The names of the images, and pictures of those that are shown."""
    seen = [
        (found, place) for found, groups in zip(sets, chosen, strict=True) for _, group in groups for place in group
    ]
    rows = sorted({int(row) for found, place in seen for row in found.images[place]})
    version = _hard.version(study, protocol)
    trials = [record for found in sets for row in found.rows for record in row.records if protocol in record.scores]
    trial = next(record.trial for record in trials if record.scores[protocol].get("hash") == version)
    return _pictures.album(trial, protocol, version, rows, wanted=study.pictures and room)


def _missing(study: Study, album: Album) -> Markup:
    """Why there are no names or no pictures, where that is not what was asked."""
    if album.missing:
        what = "Some pictures" if album.shown else "Pictures" if album.names else "Names and pictures"
        return html.paragraph(f"{what} are left out: {album.missing.rstrip('.')}.", kind="note")
    if not study.pictures or not album.shown:
        why = "to keep this file small" if study.pictures else "as was asked"
        return html.paragraph(f"Pictures are left out, {why}.", kind="note")
    return Markup("")


def _chosen(found: Hard) -> Groups:
    """What is shown, under its title."""
    if not found.threshold:
        groups = [("Hardest probes", found.hardest(found.same, 2 * SHOWN))]
    else:
        groups = [
            ("One person, taken for two", found.hardest(found.same, SHOWN)),
            ("Two people, taken for one", found.hardest(~found.same, SHOWN)),
        ]
    if len(found.rows) > 1:
        seen = {place for _, places in groups for place in places}
        alone = [place for row in range(len(found.rows)) for place in found.alone(row, SHOWN_ALONE)]
        groups.append(("Wrong with one loss alone", [place for place in alone if place not in seen]))
    return [(title, places) for title, places in groups if places]


def _set(study: Study, found: Hard, groups: Groups, album: Album) -> Markup:
    """The counts of a set, and a table of each kind of what is hard in it."""
    parts = [_counts(study, found)]
    if not found.failing.any():
        parts.append(html.paragraph("No loss is wrong on any of them in most of its seeds."))
    parts += [_table(study, found, album, title, places) for title, places in groups]
    return html.join(parts)


def _counts(study: Study, found: Hard) -> Markup:
    what = "pairs" if found.threshold else "probes"
    every = int(found.failing.all(axis=0).sum())
    said = [f"{found.name}: {len(found.same):,} {what}, {every:,} of them wrong with every loss."]
    said += [f"Threshold: {found.threshold}."] if found.threshold else [_SEARCHED]
    columns = [html.Column("Loss", "short"), html.Column("Wrong, % of its runs")]
    several = len(found.rows) > 1  # of one row alone it is the column before
    columns += [html.Column("Wrong with it alone"), html.Column("Right with it alone")] * several
    body: list[list[html.Shown]] = []
    for row, wrong, alone, spared in _hard.counts(found):
        label = _rows.label(study, row.name, row.backbone)
        apart = [html.Item(f"{number:,}", number) for number in (alone, spared)] * several
        body.append([html.Item(label, label), html.Item(_words.percent(wrong), wrong), *apart])
    return html.table(columns, [body], caption=" ".join(said), sortable=True)


def _table(study: Study, found: Hard, album: Album, title: str, places: Sequence[int]) -> Markup:
    pictured = any(int(row) in album.shown for place in places for row in found.images[place])
    columns = [html.Column("Pictures", "short")] * pictured + [html.Column("Images", "short")]
    columns += [html.Column(_rows.label(study, row.name, row.backbone)) for row in found.rows]
    mark = _score if found.threshold else _rank
    body: list[list[html.Shown]] = [
        [
            *[html.join(album.picture(int(row)) for row in found.images[place])] * pictured,
            _names(found, album, place),
            *[mark(found, row, place) for row in range(len(found.rows))],
        ]
        for place in places
    ]
    return html.table(columns, [body], caption=html.strong(title), sortable=True)


def _names(found: Hard, album: Album, place: int) -> html.Item:
    """The names of the images, and of a pair whether they show one person."""
    first, *others = [album.name(int(row)) for row in found.images[place]]
    lines = [html.small(name) for name in others]
    lines += [html.small("one person" if found.same[place] else "two people")] if others else []
    return html.Item(Markup("{}{}").format(first, html.join(lines)), first)


def _score(found: Hard, row: int, place: int) -> html.Item:
    """`✗ 0.31`, and its margin."""
    margin = float(found.margin[row, place])
    said = html.small(f"margin {round(margin, 2) + 0.0:+.2f}".replace("-", _words.MINUS))  # no -0.00
    text = f"{_cross(found, row, place)}{found.shown[row, place]:.3f}".replace("-", _words.MINUS)
    return html.Item(Markup("{}{}").format(text, said), margin)


def _rank(found: Hard, row: int, place: int) -> html.Item:
    """`✗ rank 12.5`, or `✗ rank ≥ 101`, and how many of its searches missed."""
    rank = float(found.shown[row, place])
    said = html.small(f"{_words.percent(float(found.wrong[row, place]), 0)} % missed")
    least = "≥ " if found.bound is not None and found.bound[row, place] else ""
    text = f"{_cross(found, row, place)}rank {least}{_words.count(round(rank, 1))}"
    return html.Item(Markup("{}{}").format(text, said), rank)


def _cross(found: Hard, row: int, place: int) -> str:
    return f"\N{BALLOT X}{_words.NARROW}" if found.failing[row, place] else ""
