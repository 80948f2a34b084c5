"""Which tests are held out."""

from pytest_soft.split import fold_of, is_held_out

IDS = [f"test_a.py::test_f[{i}-{i * 0.1}]" for i in range(2000)]


def test_the_draw_is_that_of_the_id_and_the_seed_alone():
    assert [is_held_out(i, 0, 0.2) for i in IDS] == [is_held_out(i, 0, 0.2) for i in IDS]
    assert [is_held_out(i, 0, 0.2) for i in IDS] != [is_held_out(i, 1, 0.2) for i in IDS]
    # pinned: another version of ours must not move a test to the other side
    assert [fold_of(i, 0, 5) for i in IDS[:8]] == [0, 1, 3, 1, 0, 4, 1, 3]


def test_about_as_many_as_asked_for_are_held_out():
    assert 340 < sum(is_held_out(i, 0, 0.2) for i in IDS) < 460  # 400 ± 3 standard deviations
    assert not any(is_held_out(i, 0, 0.0) for i in IDS)


def test_a_larger_part_holds_the_smaller_one():
    small = {i for i in IDS if is_held_out(i, 3, 0.1)}
    assert small < {i for i in IDS if is_held_out(i, 3, 0.3)}


def test_folds_are_of_about_the_same_size_and_cover_all():
    folds = [fold_of(i, 0, 5) for i in IDS]
    assert set(folds) == {0, 1, 2, 3, 4}
    assert all(330 < folds.count(k) < 470 for k in range(5))


def test_folds_do_not_depend_on_who_is_held_out():
    folds = {fold_of(i, 0, 5) for i in IDS if is_held_out(i, 0, 0.2)}
    assert folds == {0, 1, 2, 3, 4}
