"""Figures of groups at one global threshold, against loops; and what wrong tables are answered."""

import numpy as np
import pytest
from made_up_lists import LISTS, PEOPLE, embed, make

from bench import protocols
from bench.errors import RequestError
from bench.metrics.proportion import proportion

# The folds of the made-up pairs are of four people: whole folds are of one group, but the last, which has two.
TABLE = "person,kind\n" + "\n".join(f"{who},{'old' if n % 8 < 4 else 'young'}" for n, who in enumerate(PEOPLE[:38]))


def with_table(name, table=TABLE, **options):
    if name == "ijb" and table is TABLE:  # its people are subjects of its own
        people = sorted(set(make(name).people))
        table = "person,kind\n" + "\n".join(f"{who},{('old', 'young')[n % 2]}" for n, who in enumerate(people))
    if name == "bins":  # its people have no names: the table names images
        images = make(name).images
        table = "image,kind\n" + "\n".join(
            f"{image},{'old' if n % 8 < 4 else 'young'}" for n, image in enumerate(images)
        )
        (LISTS[name]() / "kinds.csv").write_text(table)
        return protocols.create(name, root=LISTS[name](), groups="kinds.csv", **options)
    return protocols.create(name, root={**LISTS[name], "kinds.csv": table}, groups="kinds.csv", **options)


@pytest.mark.parametrize("name", sorted(set(protocols.names()) - {"lfw_blufr"}))
def test_the_protocols_own_figures_stay_and_the_hash_says_the_table(name):
    plain, grouped = make(name), with_table(name)
    rows = embed(plain)
    before, after = plain.score(rows), grouped.score(rows)
    assert before.metrics.items() <= after.metrics.items() and before.undefined.items() <= after.undefined.items()
    own = {key for key in after.metrics if "/group_" in key}
    assert own and {key.split("/")[1] for key in own} == {"group_old", "group_young"}
    for key in own:
        if not key.endswith(("_low", "_high")):
            assert 0 <= after.metrics[f"{key}_low"] <= after.metrics[key] <= after.metrics[f"{key}_high"] <= 1
    assert grouped.hash != plain.hash and grouped.primary == plain.primary
    if name not in ("bins", "ijb"):
        assert with_table(name, TABLE.replace("old", "gray")).hash != grouped.hash


def test_pairs_of_groups_equal_loops():
    protocol = with_table("lfw")
    rows = embed(protocol, noise=1.5)
    answer = protocol.score(rows)
    kind = dict(line.split(",") for line in TABLE.splitlines()[1:])
    raw, folds = answer.raw, sorted(set(answer.raw["folds"].tolist()))
    level = [s for s, same in zip(raw["scores"], raw["same"], strict=True) if not same]
    # FAR 0.1 of 40 impostors allows four: the threshold is the least score that at most four of them reach.
    threshold = min(s for s in raw["scores"] if sum(other >= s for other in level) <= 4)
    for group in ("old", "young"):
        right, accepted, false = [], [], []
        for first, second, score, same, fold in zip(
            raw["first"], raw["second"], raw["scores"], raw["same"], raw["folds"], strict=True
        ):
            if kind.get(protocol.people[first]) == kind.get(protocol.people[second]) == group:
                right.append((score > raw["thresholds"][folds.index(fold)]) == same)
                (accepted if same else false).append(score >= threshold)
        where = f"lfw/group_{group}"
        assert answer.metrics[f"{where}/accuracy"] == pytest.approx(np.mean(right), abs=1e-15)
        assert answer.metrics[f"{where}/tar_at_far_1e-1"] == pytest.approx(np.mean(accepted), abs=1e-15)
        assert answer.metrics[f"{where}/far_at_far_1e-1"] == pytest.approx(np.mean(false), abs=1e-15)
        assert (answer.counts[f"genuine_{group}"], answer.counts[f"impostor_{group}"]) == (len(accepted), len(false))
        assert answer.marks[f"{where}/tar_at_far_1e-1"].startswith("hangs on 4 false accepts")
        assert answer.undefined[f"{where}/far_at_far_1e-2"] == "FAR 1e-02 is undefined on 40 impostor pairs"
    assert answer.counts["pairs_of_no_group"] == 5 and answer.counts["images_without_group"] == 6


def test_searches_of_groups_equal_loops():
    protocol = with_table("megaface")
    answer = protocol.score(embed(protocol))
    kind = dict(line.split(",") for line in TABLE.splitlines()[1:])
    for group in ("old", "young"):
        hits = [
            better < 1
            for better, probe in zip(answer.raw["better"], answer.raw["probe"], strict=True)
            if kind[protocol.people[probe]] == group
        ]
        assert answer.metrics[f"megaface/group_{group}/rank1"] == pytest.approx(np.mean(hits), abs=1e-15)
        assert answer.counts[f"searches_{group}"] == len(hits)
        assert "effective identities" in answer.marks[f"megaface/group_{group}/rank1"]


def test_the_searches_of_ijb_have_groups_over_both_galleries():
    people = sorted(set(make("ijb").people))
    table = "person,kind\n" + "\n".join(f"{who},{('old', 'young')[n % 2]}" for n, who in enumerate(people))
    protocol = with_table("ijb", table)
    answer = protocol.score(embed(protocol))
    kind = dict(line.split(",") for line in table.splitlines()[1:])
    of = [kind[protocol.people[row]] for row in answer.raw["probe"]]
    for group in ("old", "young"):
        hits = [hit for hit, which in zip(answer.raw["rank1_joined"], of, strict=True) if which == group]
        assert answer.metrics[f"{protocol.name}/group_{group}/rank1_joined"] == pytest.approx(np.mean(hits), abs=1e-15)


def test_an_images_own_line_goes_before_its_persons_and_a_video_is_its_first_frame():
    protocol = make("lfw")
    image = protocol.images[0]
    grouped = with_table("lfw", f"name,colour,kind\n{protocol.people[0]},x,a\n{image},y,b\n{PEOPLE[1]},z,a\n")
    assert [grouped.groups[n] for n in grouped.group[:2]] == ["x", "y"][::-1]
    other = protocols.create("lfw", root={**LISTS["lfw"], "k": f"name,x,kind\n{image},y,b"}, groups="k:kind")
    assert other.groups == ("b",)
    video = make("ytf")
    raw = video.score(embed(video)).raw
    assert video.images[raw["first"][0]] == "Person_00/0/0000.jpg"
    assert video.images[raw["second"][0]] == "Person_00/1/0000.jpg"


def test_without_some_images_the_figures_of_groups_are_partial_too():
    partial = with_table("lfw").without(set(make("lfw").images[3::7]))
    answer = partial.score(embed(partial))
    assert answer.marks["lfw/group_old/accuracy"].startswith("partial: 16 of 110 images are missing")
    assert len(partial.group) == len(partial.images)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("person,kind\nNobody,a\n", "names none of the 110 images or their people of lfw.*'Person_00'"),
        ("person,kind\nPerson_00,a\nPerson_00,b\n", "line 3: 'Person_00' is in group 'b' and in 'a'"),
        ("person,kind\nPerson_00,a/b\n", "line 2: a group's label is of letters, digits.*got 'a/b'"),
        ("person\nPerson_00\n", "has no column 'group'"),
    ],
)
def test_a_wrong_table_is_refused_in_a_sentence(table, sentence):
    with pytest.raises(RequestError, match=sentence):
        with_table("lfw", table)


def test_a_protocol_that_keeps_no_comparisons_says_so():
    protocol = with_table("lfw_blufr")
    with pytest.raises(RequestError, match="gives no figures that can be told apart by groups: leave `groups` out"):
        protocol.score(embed(protocol))


def test_pairs_of_one_kind_leave_the_groups_undefined():
    pairs = "first,second,same,fold\n" + "\n".join(
        f"{a}/1.jpg,{b}/1.jpg,0,1" for a, b in zip(PEOPLE[:8], PEOPLE[8:16], strict=True)
    )
    lists = {"pairs.csv": pairs, "kinds.csv": "person,kind\n" + "\n".join(f"{who},old" for who in PEOPLE)}
    protocol = protocols.create("pairs", root=lists, groups="kinds.csv")
    answer = protocol.score(np.random.default_rng(0).normal(size=(16, 4)))
    assert "both are needed" in answer.undefined["pairs/group_old/tar_at_far"]


def test_the_hash_says_the_column_and_labels_that_would_be_one_are_refused():
    table = "person,a,b\n" + "\n".join(f"{who},{n % 2},{n % 3}" for n, who in enumerate(PEOPLE))
    lists = {**LISTS["lfw"], "kinds.csv": table}
    assert len({protocols.create("lfw", root=lists, groups=f"kinds.csv:{column}").hash for column in "ab"}) == 2
    quoted = {**LISTS["lfw"], "kinds.csv": table.replace("person,a,b", '"person","a","b"')}
    assert protocols.create("lfw", root=quoted, groups="kinds.csv").groups == ("0", "1")
    with pytest.raises(RequestError, match="the labels 'L A' and 'L_A' would be one"):
        with_table("lfw", "person,kind\nPerson_00,L A\nPerson_01,L_A\n")


def test_a_group_of_few_people_is_marked_by_itself():
    many = [f"Q{number:02d}" for number in range(60)]
    images = [f"{who}/{number}.jpg" for who in many for number in range(3)]
    table = "person,kind\n" + "\n".join(f"{who},{'few' if n < 2 else 'many'}" for n, who in enumerate(many))
    protocol = protocols.create("retrieval", root={"images.txt": "\n".join(images), "t.csv": table}, groups="t.csv")
    answer = protocol.score(np.random.default_rng(0).normal(size=(180, 5)))
    assert "2.0 effective identities" in answer.marks["retrieval/group_few/map_at_r"]
    assert "retrieval/group_many/map_at_r" not in answer.marks


def test_a_table_that_is_no_name_is_refused():
    with pytest.raises(RequestError, match="groups is FILE or FILE:COLUMN.*got 3"):
        protocols.create("lfw", root=LISTS["lfw"], groups=3)


# --- the interval ---


def test_independent_decisions_have_clopper_and_pearsons_interval():
    """Textbook values: 8 of 10, and 0 of 10 (one person each; then deff is 1 and the degrees of freedom agree)."""
    people = np.arange(10)
    found = proportion(np.arange(10) < 8, people, people)
    assert (found.low, found.high) == pytest.approx((0.4439, 0.9748), abs=5e-5)
    found = proportion(np.zeros(10, bool), people, people)
    assert (found.value, found.low) == (0, 0) and found.high == pytest.approx(0.3085, abs=5e-5)


def test_decisions_of_few_people_have_a_wider_interval_which_covers():
    """People differ: the interval over people covers the truth where that of independent decisions does not."""
    random = np.random.default_rng(0)
    covered = independent = 0
    for _ in range(300):
        chance = random.beta(2, 2, 40)  # of each person; the truth is 0.5
        owner = np.repeat(np.arange(40), 25)
        hits = random.random(1000) < chance[owner]
        found = proportion(hits, owner, owner)
        covered += found.low <= 0.5 <= found.high
        alone = proportion(hits, np.arange(1000), np.arange(1000))
        independent += alone.low <= 0.5 <= alone.high
    assert covered >= 0.93 * 300 and independent < 0.7 * 300


def test_shares_that_are_no_decisions_have_a_t_interval_over_people():
    owner = np.repeat(np.arange(4), 2)
    values = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    means = values.reshape(4, 2).mean(axis=1)
    half = 3.182446 * np.std(means, ddof=1) / 2  # t(.975, 3)
    found = proportion(values, owner, owner)
    assert (found.low, found.high) == pytest.approx((max(0, 0.45 - half), min(1, 0.45 + half)), abs=1e-6)


def test_equal_shares_are_no_certainty():
    found = proportion(np.full(4, 0.5), np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1]))
    assert found.value == 0.5 and found.low < 0.3 and found.high > 0.7


def test_one_person_says_nothing_of_others():
    found = proportion(np.array([True, False]), np.zeros(2, int), np.zeros(2, int))
    assert (found.value, found.low, found.high, found.clusters) == (0.5, 0, 1, None)
