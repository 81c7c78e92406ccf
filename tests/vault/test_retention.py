"""Retention on generated histories: what may be deleted, what is owed, what is replaced."""

from hypothesis import assume, given
from hypothesis import strategies as st

from vault.archive.format import ArchiveName, Referred, Summary, stamp
from vault.archive.lineage import Pin, Root
from vault.archive.statement import Statement
from vault.catalog import retention
from vault.catalog.catalog import Catalog, Listed
from vault.catalog.forgotten import take_out_forgotten
from vault.catalog.renewal import renewable
from vault.catalog.retention import PAST, Policy, Reason, expired
from vault.catalog.rules import Rules, upcoming
from vault.store.base import Stored
from vault.store.local import Local

NOWHERE = Local("nowhere", "/nowhere")


def last(keep, host="here", pins=()):
    return Policy(
        Rules(last=keep, zone="UTC"), host, {id_: Pin(id_, "", pins[id_]) for id_ in pins}
    )


def decide(found, keep, host, owed=(), coming=0, **more):
    policy = last(keep, host, more.pop("pins", ()))
    return retention.decide(found, policy, owed, upcoming(40 * 86_400, coming), **more)


def doomed(*words, **more):
    """Return the archives to delete, newest first."""
    return [fate.listed for fate in expired(decide(*words, **more))]


def bases(found, keep, host, *words):
    return retention.bases(found, last(keep, host), *words)


def replaced(parent, catalogs, keep):
    """Return the archives that the backup of the next day no longer refers to."""
    now = (int(parent.id, 16) + 1) * 86_400
    return renewable(parent, [(one, last(keep)) for one in catalogs], now)


def summary(number, references, host="here", files=10, normal=(10, 100), used=1000, missed=0):
    return Summary(
        format=2,
        id=f"{number:032x}",
        service="svc",
        line="0" * 32,
        sequence=number,
        host=host,
        time=stamp(number * 86_400),
        kind="incremental" if references else "full",
        parent=None,
        barrier=0,
        roots=[Root("", "folder", "/")],
        entries=10,
        files=files,
        size=files * 10,
        read=0,
        payload=2000,
        missed=missed,
        normal=normal,
        archives=[Referred(f"{n:032x}", name(n), 100, used) for n in sorted(references)],
    )


def name(number):
    return str(ArchiveName("svc", stamp(number * 86_400), f"{number:032x}"[:8]))


def item(number, references=(), **more):
    return Listed(Stored(name(number), 100), summary(number, references, **more))


@st.composite
def histories(draw, most=12):
    """Archives 1 to n; each refers to older ones, and to all that those refer to."""
    found = []
    for number in range(1, draw(st.integers(1, most)) + 1):
        older = list(range(1, number))
        references = draw(st.sets(st.sampled_from(older))) if older else set()
        found.append(item(number, references, host=draw(st.sampled_from(["here"] * 5 + ["far"]))))
    return found


def catalog(found):
    return Catalog(NOWHERE, "svc", list(found))


def own(found):
    """Return the backups of this host, oldest first."""
    return [one for one in catalog(found).backups if one.summary.host == "here"]


def to_copy(own, sources, keep):
    return retention.to_copy(own, sources, last(keep))


def still_owed(own, sources, keep):
    return retention.still_owed(own, sources, last(keep))


def ids(found):
    return [one.summary.id for one in found]


@given(histories(), st.integers(1, 5), st.sets(st.integers(1, 12)))
def test_kept_backups_stay_whole_at_every_moment(found, keep, gone):
    """After each single deletion, wherever a run dies, the kept backups are whole."""
    found = [one for number, one in enumerate(found, 1) if number not in gone]
    assume(found)
    kept = ids(own(found)[-keep:])
    for victim in doomed(catalog(found), keep, "here"):
        found.remove(victim)
        after = ids(own(found))
        assert after[-len(kept) :] == kept


@given(histories(), st.integers(1, 5), st.sets(st.integers(1, 12)), st.sets(st.integers(1, 12)))
def test_never_the_newest_nor_the_owed_nor_what_is_not_ours(found, keep, gone, owed):
    """The newest good backup, newer archives, owed ones and other hosts' are kept."""
    found = [one for number, one in enumerate(found, 1) if number not in gone]
    locked = Listed(Stored(name(90), 7), problem="another key", locked=True)
    damaged = Listed(Stored(name(91), 7), problem="damaged")
    whole = catalog([*found, locked, damaged])
    owed_ids = {f"{number:032x}" for number in owed}
    victims = doomed(whole, keep, "here", owed_ids)
    assert all(victim.summary.host == "here" for victim in victims)
    assert not owed_ids & set(ids(victims))
    if not own(found):
        assert victims == []
    for victim in victims:
        assert victim.stored.name < own(found)[-keep:][0].stored.name


@given(histories(), st.integers(1, 5))
def test_unneeded_archives_are_deleted(found, keep):
    """An expired archive of this host that none refers to is deleted, whole or not."""
    backups = own(found)
    needed = {other.id for one in backups[-keep:] for other in one.summary.archives}
    expected_ids = {
        one.summary.id
        for one in found
        if backups
        and one.stored.name < backups[-keep:][0].stored.name
        and one.summary.host == "here"
        and one.summary.id not in needed
    }
    assert set(ids(doomed(catalog(found), keep, "here"))) == expected_ids


@given(histories(), st.integers(1, 5))
def test_a_plan_names_only_what_a_run_may_delete(found, keep):
    """With one more backup to come, which builds on the newest: one more, never the newest."""
    found = [one for one in found if one.summary.host == "here"]
    assume(found)
    newest = found[-1]
    assume(newest in catalog(found).backups)
    refers = {other.id for other in newest.summary.archives} | {newest.summary.id}
    coming = item(13, {int(id_, 16) for id_ in refers})
    planned = ids(doomed(catalog(found), keep, "here", coming=1))
    assert planned == ids(doomed(catalog([*found, coming]), keep, "here"))


def test_a_shrunken_newest_backup_holds_retention():
    """While the newest has under half of the files or bytes of a normal one, nothing is deleted."""
    full = [item(number) for number in range(1, 6)]
    assert len(doomed(catalog(full), 2, "here")) == 3
    for normal in ((21, 100), (10, 201)):
        small = item(6, files=10, normal=normal)
        assert doomed(catalog([*full, small]), 2, "here") == []
    assert len(doomed(catalog([*full, item(6, normal=(20, 200))]), 2, "here")) == 4


def test_the_newest_backup_that_misses_no_file_stays():
    """However many partial ones follow it, until a complete one comes; with its references."""
    found = [item(1), item(2, {1}), *(item(number, missed=1) for number in (3, 4, 5))]
    assert ids(doomed(catalog(found), 2, "here")) == ids([found[2]])
    found += [item(6), item(7)]
    assert ids(doomed(catalog(found), 2, "here")) == ids(reversed(found[:5]))


@given(histories(), st.integers(1, 5))
def test_a_new_destination_gets_what_the_kept_backups_need_and_no_more(found, keep):
    """Catch-up copies the newest backups with all their references, references first."""
    source, new = catalog(found), catalog([])
    for one in to_copy(new, [source], keep):
        assert not new.listed or new.listed[-1].stored.name < one.stored.name
        new.listed.append(one)
    kept = own(found)[-keep:]
    assert set(ids(kept)) <= set(ids(new.backups))
    needed = {other.id for one in kept for other in one.summary.archives}
    assert set(ids(new.listed)) <= needed | set(ids(kept))
    assert to_copy(new, [source], keep) == []
    assert still_owed(new, [source], keep) == set()


@given(histories(), st.integers(1, 5), st.sets(st.integers(1, 12)))
def test_archives_needed_by_catch_up_are_owed_until_it_is_done(found, keep, lacking):
    """Prune never deletes what a backup that catch-up will copy refers to."""
    behind = catalog([one for number, one in enumerate(found, 1) if number not in lacking])
    owed = still_owed(behind, [catalog(found)], keep)
    coming = to_copy(behind, [catalog(found)], keep)
    victims = set(ids(doomed(behind, keep, "here", owed)))
    for one in coming:
        assert not victims & {other.id for other in one.summary.archives}


def test_only_old_and_little_used_archives_are_replaced():
    """Expired everywhere and under 60% in use: new backups no longer refer to it."""
    base = [item(1), item(2), item(3, {1, 2}), item(4, {1, 2, 3})]
    parent = summary(5, {1, 2, 3, 4}, used=1199)
    newest = Listed(Stored(name(5), 100), parent)
    assert replaced(parent, [catalog([*base, newest])], 2) == {f"{n:032x}" for n in (1, 2, 3, 4)}
    assert replaced(parent, [catalog([*base, newest])], 4) == {f"{n:032x}" for n in (1, 2)}
    full = summary(5, {1, 2, 3, 4}, used=1200)
    assert replaced(full, [catalog([*base, newest])], 2) == set()


def test_an_archive_is_renewed_only_where_that_frees_it_soon():
    """Not for a destination that keeps it long, unless another gains more than this one loses."""
    base = [item(1), item(2), item(3)]
    places = catalog([*base, newest := item(4, {1, 2, 3}, used=100)])
    parent, now = newest.summary, 5 * 86_400
    short, long = last(1), last(9)
    assert renewable(parent, [(places, short)], now) == set(ids(base))
    assert renewable(parent, [(places, long)], now) == set()
    assert renewable(parent, [(places, short), (places, long)], now) == set(ids(base))
    most = item(4, {1, 2, 3}, used=1100)  # of 2000
    both = [(places, short), (places, long)]
    assert renewable(most.summary, both[:1], now) == set(ids(base))
    assert renewable(most.summary, both, now) == set()
    pinned = last(1, pins={newest.summary.id: "before the upgrade"})
    assert renewable(parent, [(places, pinned)], now) == set()


def test_pinned_backups_stay_with_what_they_refer_to():
    """Until they are unpinned; their text is the reason, and catch-up copies them."""
    found = [item(1), item(2, {1}), item(3), item(4), item(5)]
    pins = {found[1].summary.id: "before the upgrade"}
    fates = decide(catalog(found), 1, "here", pins=pins)
    words = [fate.text for fate in fates]
    assert words[1:] == ["pinned: before the upgrade", "expired", "expired", "retained by last 1"]
    assert (fates[0].reason, fates[0].by) == (Reason.NEEDED, (name(2),))
    assert doomed(catalog(found), 1, "here") == found[3::-1]
    copied = retention.to_copy(catalog([]), [catalog(found)], last(1, pins=pins))
    assert copied == [found[0], found[1], found[4]]


def test_what_list_hides_is_past_retention():
    """Backups that wait for something, or that are not ours, are shown."""
    assert {Reason.NEEDED, Reason.RENEWED, Reason.OWED, Reason.EXPIRED} == PAST


def test_an_archive_that_is_being_renewed_says_so():
    found = [item(1), item(2, {1}, used=10), item(3, {1}, used=10)]
    fates = decide(catalog(found), 1, "here", renewed={found[0].summary.id})
    assert fates[0].text == "being renewed; needed by 00000000"


def reasons(fates):
    return {int(fate.listed.summary.id, 16): fate.reason for fate in fates}


def test_every_archive_has_a_reason():
    """Retained, needed, owed, newest complete, damaged, newer, not ours, locked, expired."""
    found = [
        item(1),
        item(2),
        item(3, {1}),
        item(4, {2}),
        item(5, {9}, missed=1),
        item(6, {2}, missed=1),
        item(7, missed=1),
        item(8, missed=1, host="far"),
    ]
    locked = Listed(Stored(name(20), 7), problem="another key", locked=True)
    damaged = Listed(Stored(name(21), 7), problem="does not open")
    fates = decide(catalog([*found, locked, damaged]), 2, "here", {f"{3:032x}"})
    assert [fate.reason for fate in fates] == [
        Reason.EXPIRED,
        Reason.NEEDED,
        Reason.OWED,
        Reason.COMPLETE,
        Reason.EXPIRED,
        Reason.RETAINED,
        Reason.RETAINED,
        Reason.FOREIGN,
        Reason.LOCKED,
        Reason.UNREADABLE,
    ]
    assert fates[1].by == (name(4), name(6))
    assert [fate.listed for fate in expired(fates)] == [found[4], found[0]]


def test_a_pause_of_retention_is_a_reason():
    """While the newest has shrunk, expired ones are paused; a gap in the newest ones is newer."""
    found = [item(1), item(2), item(3, normal=(30, 300))]
    assert reasons(decide(catalog(found), 1, "here"))[1] is Reason.PAUSED
    assert reasons(decide(catalog([item(2, {9})]), 1, "here"))[2] is Reason.NEWER
    gap = [item(1), item(2, {9}), item(3)]
    assert reasons(decide(catalog(gap), 2, "here"))[2] is Reason.NEWER
    marked = [item(1), item(2), item(3)]
    marked[1].problem = "damaged"
    assert reasons(decide(catalog(marked), 2, "here"))[2] is Reason.DAMAGED


@given(histories(), st.integers(1, 5), st.sets(st.integers(1, 12)), st.integers(0, 3))
def test_another_hosts_archives_change_nothing_of_our_own(found, keep, planted, coming):
    """An attacker at a destination cannot displace our backups with newer ones."""
    ours = [one for one in found if one.summary.host == "here"]
    theirs = [item(50 + number, host="far") for number in planted]
    alone = doomed(catalog(ours), keep, "here", coming=coming)
    assert doomed(catalog([*ours, *theirs]), keep, "here", coming=coming) == alone
    first = [item(1, host="far")]
    newest = catalog([*first, *theirs]).backups[-1].summary
    assert replaced(newest, [catalog([*first, *theirs])], keep) == set()


@given(histories(), st.integers(1, 5), st.sets(st.integers(1, 12)))
def test_archives_left_incomplete_by_retention_are_no_alarm(found, keep, gone):
    """No archive that lost a reference because of prune counts as broken."""
    found = [one for one in found if one.summary.host == "here"]
    assume(catalog(found).backups == found)
    for victim in doomed(catalog(found), keep, "here"):
        found.remove(victim)
    left = catalog(found)
    broken = set(ids(found)) - set(ids(left.backups))
    assert {one.stored.name for one in found if one.summary.id in broken} <= bases(
        left, keep, "here"
    )
    assert bases(left, keep, "another host") == bases(left, keep, "here")


def test_a_manual_deletion_is_an_alarm_and_a_raised_number_is_not():
    """A gap in the newest ones is damage, unless packrat itself is known to have made it."""
    left = catalog([item(2, {1}), item(3, {1}), item(4), item(5)])
    assert bases(left, 2, "here") == {name(2), name(3)}
    assert bases(left, 4, "here") == set()
    assert bases(left, 4, "here", {f"{1:032x}"}) == {name(2), name(3)}


def forgotten(number):
    """Return the statement that somebody deleted an archive."""
    said = Statement(
        id="f" * 32,
        service="svc",
        host="here",
        line="0" * 32,
        time=stamp(0),
        says="forgotten",
        archives=[f"{number:032x}"],
    )
    return Listed(Stored(said.name, 100), statement=said)


def test_a_forgotten_archive_is_set_aside_unless_a_backup_there_needs_it():
    """And then it is copied only for that backup, not because a rule would keep it."""
    told = catalog([item(9)])
    told.statements.append(forgotten(1))
    free, needed = catalog([item(1), item(2)]), catalog([item(1), item(2, [1])])
    take_out_forgotten([free, needed], [told])
    assert [one.stored.name for one in free.listed] == [name(2)]
    assert [one.stored.name for one in free.forgotten] == [name(1)]
    assert [one.stored.name for one in needed.listed] == [name(1), name(2)]
    assert needed.forgotten == []
    copied = [one.stored.name for one in to_copy(told, [needed], 3)]
    assert copied == [name(1), name(2)]
    needed.listed[1].problem = "damaged"
    assert to_copy(told, [needed], 3) == []
