"""What was written of a build, before anybody knows of it: brought to disk, named, read back by git."""

import pytest

from opendata_pkg.building.settling import Drafted, Settling
from opendata_pkg.git.objects import SYMLINK, Commit, TreeEntry, hex_id, write_tree
from opendata_pkg.git.repository import BrokenRepositoryError, GitError, Repository
from tests.core_support import git_text


def written(folder, name, *, files=2, said=None, tree=None):
    """A dataset with a pack that is yet to be published, and that pack; `said` is how many files it is to have."""
    repository = Repository(folder / f"{name}.git")
    repository.create()
    with repository.writer(publish=False) as writer:
        blob = writer.add(b"blob", b"to")
        root = tree or write_tree(writer, [TreeEntry(b"%03d" % number, SYMLINK, blob) for number in range(files)])
        body = Commit(tree=root, parents=(), time=1, message=name).body()
        commit = hex_id(writer.add(b"commit", body))
    dataset = Drafted(
        name=name,
        repository=repository,
        staging=folder / "draft" / name,
        main=commit,
        annex=commit,
        files=files if said is None else said,
        before=0,
        new=files,
        is_new_commit=True,
    )
    return dataset, writer.written


def settle(*datasets):
    """Settle datasets, given with their packs."""
    with Settling() as settling:
        for dataset, pack in datasets:
            settling.take_pack(dataset.name, pack)
            settling.take(dataset)
        settling.finish()


def test_what_is_settled_is_there(tmp_path):
    """Of any number of datasets: packs under their names, refs set, nothing temporary left, and git finds no fault."""
    datasets = [written(tmp_path, f"d{number}", files=number) for number in range(1, 80)]
    settle(*datasets)
    for dataset, pack in datasets:
        path = dataset.repository.path
        assert {file.name for file in (path / "objects" / "pack").iterdir()} == {
            f"{pack.name}.pack",
            f"{pack.name}.idx",
        }
        assert dataset.repository.refs() == {
            "refs/opendata/draft/main": dataset.main,
            "refs/opendata/draft/git-annex": dataset.annex,
        }
    assert git_text(datasets[0][0].repository.path, "fsck", "--strict", "--full") == ""


def test_nothing_is_known_before(tmp_path):
    """A pack that is written has neither name nor ref until it is settled."""
    dataset, pack = written(tmp_path, "d")
    folder = dataset.repository.path / "objects" / "pack"
    assert sorted(file.name for file in folder.iterdir()) == sorted([pack.index.name, pack.pack.name])
    assert all(name.startswith("tmp_") for name in (pack.index.name, pack.pack.name))
    assert dataset.repository.refs() == {}
    dataset.repository.remove_leftovers()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("place", [0, 40])
def test_other_than_planned(tmp_path, place):
    """A dataset in which git reads more or fewer files than there were to be is named, whichever it is."""
    datasets = [written(tmp_path, f"d{number}", said=3 if number == place else 2) for number in range(41)]
    with pytest.raises(BrokenRepositoryError, match=rf"wrote 3 files of d{place}, but git reads 2 in .*: nothing was"):
        settle(*datasets)


def test_a_commit_that_is_lost(tmp_path):
    """A pack that is not there any more, as after a disk's error."""
    (first, pack), (second, lost) = written(tmp_path, "a"), written(tmp_path, "b")
    with Settling() as settling:
        settling.take_pack("a", pack)
        settling.take(first)
        lost.pack.unlink()
        settling.take(second)
        with pytest.raises(BrokenRepositoryError, match="wrote 2 files of b, but git reads no commit in "):
            settling.finish()


def test_what_git_cannot_read(tmp_path):
    """As git says."""
    with pytest.raises(GitError, match="unable to read tree"):
        settle(written(tmp_path, "d", tree=b"\1" * 20))


def test_what_the_system_refuses(tmp_path):
    """Told at the end, at the latest; and no ref names what is not there."""
    dataset, pack = written(tmp_path, "d")
    pack.index.unlink()
    with pytest.raises(FileNotFoundError, match=pack.index.name):
        settle((dataset, pack))
    assert dataset.repository.refs() == {}
